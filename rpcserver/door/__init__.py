"""The door: sockets that listen, HTTP, who is let in, and the links of WebSocket."""
