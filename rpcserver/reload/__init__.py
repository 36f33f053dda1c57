"""Reloads: which settings a server that runs can change, what has changed, and the change itself."""
