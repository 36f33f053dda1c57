"""The built-in services, typed. Generated: `make stubs`."""
