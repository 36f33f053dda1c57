"""The built-in services, each a plugin like any other's."""
