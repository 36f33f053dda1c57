"""The protocol, without I/O: messages, codecs, errors, contracts, session, streams. Drivers are in ``rpcwire.aio``."""
