"""Reads the machine, each part on its own. Nothing here raises: what cannot be read is None, with the reason."""
