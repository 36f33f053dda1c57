"""Drives :class:`~rpcwire.session.Session` with asyncio: for the server, and for the asynchronous client."""
