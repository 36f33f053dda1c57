"""Backup and restoring of a server's state."""
