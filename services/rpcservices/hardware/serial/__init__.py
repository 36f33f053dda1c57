"""Serial ports: the list of them, and those that are open."""
