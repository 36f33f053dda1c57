"""Runs programs: their start, their output and input, their limits, and their end."""
