"""Programs as a client sees them, without I/O: their results, texts, words and output, and how a handle comes back."""
