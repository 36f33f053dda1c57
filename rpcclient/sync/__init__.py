"""The synchronous client: no event loop, one reader thread for each connection.

All state of a connection (the session, the WebSocket, the output) changes under one lock, the link's. No thread waits
for anything while it holds the lock: sockets do not block, and hooks and handlers run without it. So the reader can
always read, which the server relies on.
"""
