"""The driver of a session with threads, for programs without an event loop."""
