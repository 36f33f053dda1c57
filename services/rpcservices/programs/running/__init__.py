"""Programs that run: starting, watching, output and input, limits, the end."""
