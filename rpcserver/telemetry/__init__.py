"""What the server shows of itself to whoever watches it."""
