"""The synchronous client: no event loop, one reader thread for each connection.

Whatever belongs to a connection (the session, the WebSocket's state, the output) changes under one lock, the link's.
Nobody waits for anything while holding it: sockets do not block, hooks and handlers run outside. So no thread can keep
the reader from reading, which the server relies on.
"""
