"""One module for each driver: how it runs a statement, streams, cancels, and comes back clean."""
