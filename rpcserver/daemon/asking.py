"""Asks the server that runs on this machine, over its Unix socket, where the user who runs it needs no token."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import unix_connect

from rpcserver.config import ConfigError, ServerConfig

TIMEOUT_S = 10.0
"""How long connecting, and most answers, may each take, in seconds."""

MOST_BYTES = 64 * 1024 * 1024
"""The largest answer, in bytes."""


def ask_server(config: ServerConfig, method: str, timeout_s: float = TIMEOUT_S) -> Any:
    """Call a method without parameters.

    Parameters:
        config: the configuration of the server.
        method: the full name of the method.
        timeout_s: how long the answer may take, in seconds.

    Returns:
        The result as plain data.

    Raises:
        ConfigError: the server has no Unix socket, does not run, or refuses; the message says what to do.
    """
    with talk_to_server(config, method, timeout_s) as ask:
        return ask()


@contextmanager
def talk_to_server(config: ServerConfig, method: str, timeout_s: float = TIMEOUT_S) -> Iterator[Callable[[], Any]]:
    """Connect, to call a method without parameters, perhaps many times.

    Parameters:
        config: the configuration of the server.
        method: the full name of the method.
        timeout_s: how long each answer may take, in seconds.

    Yields:
        A function that calls it and returns the result as plain data.

    Raises:
        ConfigError: the server has no Unix socket, does not run, or refuses; the message says what to do.
    """
    path = config.unix_path
    if path is None:
        raise ConfigError(
            f'listen.unix = "none": this command needs the Unix socket; with a client: rpcclient call {method}'
        )
    try:
        with unix_connect(
            str(path), uri="ws://localhost/", open_timeout=TIMEOUT_S, max_size=MOST_BYTES, compression=None
        ) as connection:

            def ask() -> Any:
                connection.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method}))
                answer = json.loads(connection.recv(timeout_s))
                if "error" in answer:
                    raise ConfigError(f"{path}: {answer['error']['message']}")
                return answer["result"]

            yield ask
    except (OSError, WebSocketException, TimeoutError) as exc:
        raise ConfigError(f"{path}: no server answers here ({exc}): start it, or name its file with --config") from exc
