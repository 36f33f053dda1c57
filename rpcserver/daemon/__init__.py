"""The server as a command: its command line and its log."""
