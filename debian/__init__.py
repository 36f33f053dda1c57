"""What the Debian package is made of."""
