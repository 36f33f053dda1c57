# Generated from rpcclient/aio/greeting.py by `make stubs`. Do not edit: change that, and generate anew.

"""Asks a server that was announced whether it is there."""

from __future__ import annotations

from rpcclient.methods import method_of
from rpcclient.models import Hello
from rpcclient.nearby import Candidate, NearbyServer, describe, targets_of
from rpcclient.options import CallOptions, ConnectOptions
from rpcclient.trust import PathText
from rpcwire.errors import RpcError

from .calling import Calls
from .connector import Connector


def greet(candidate: Candidate, ca_file: PathText | None, timeout_s: float) -> NearbyServer | None:
    """Say ``rpc.hello`` to a candidate, without saying who is asking.

    Parameters:
        candidate: the candidate.
        ca_file: PEM file with the authorities of its certificate.
        timeout_s: how long it may take at each address, in seconds.

    Returns:
        The server; ``None`` if it does not answer.

    Raises:
        ConnectFailed: the file cannot be used.
    """
    for target, is_verified in targets_of(candidate, ca_file):
        connector = Connector(ConnectOptions(target, connect_timeout_s=timeout_s, ping_interval_s=0, reconnect=False))
        calls = Calls(connector, CallOptions(timeout_s=timeout_s))
        try:
            calls.invoke(method_of("rpc.hello", Hello), None)
        except RpcError:
            continue
        finally:
            connector.close()
        return describe(candidate, target, is_verified=is_verified)
    return None
