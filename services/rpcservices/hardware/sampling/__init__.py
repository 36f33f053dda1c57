"""Takes readings of the machine, once for all callers, and computes rates from them."""
