"""Calls the services of another computer as if they were local functions: ``from rpcclient import Client``."""

from rpcwire.context import Context
from rpcwire.errors import RpcError
from rpcwire.service import Service, method

from .aio.client import AsyncClient
from .aio.stream import AsyncStream
from .sync.client import Client
from .sync.stream import Stream

__all__ = ["AsyncClient", "AsyncStream", "Client", "Context", "RpcError", "Service", "Stream", "method"]
