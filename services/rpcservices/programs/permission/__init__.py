"""Which programs may be run, with what, and how much."""
