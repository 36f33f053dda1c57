"""Serial ports of the other machine, as pyserial has them."""
