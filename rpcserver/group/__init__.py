"""The node's side of the group: which nodes there are, calls to many of them, and the broker between them."""
