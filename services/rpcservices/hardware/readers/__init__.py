"""Reads the machine, each part on its own. Nothing here raises: a value that cannot be read is None, with the
reason."""
