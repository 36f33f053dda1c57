"""Takes readings of the machine, once for all who ask, and makes rates of them."""
