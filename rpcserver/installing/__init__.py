"""Puts the server in place on a machine, and takes it back: units, configuration, manual pages, completion."""
