"""Announces the server on the local network, so that clients find it without an address (DNS-SD, RFC 6763)."""
