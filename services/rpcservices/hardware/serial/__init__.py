"""Serial ports: which there are, and those that are open."""
