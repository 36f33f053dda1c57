"""What the two sides share about the group: which nodes a call is for, and what came of it on each of them."""
