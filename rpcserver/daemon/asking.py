"""Asks the server that runs on this machine, over its Unix socket, where the user who runs it needs no token. If the
settings want one there, too, it is that of the server's own token file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import unix_connect

from rpcserver.config import ConfigError, ServerConfig
from rpcserver.security.tokens import read_token

TIMEOUT_S = 10.0
"""How long connecting, and most answers, may each take, in seconds."""

MOST_BYTES = 64 * 1024 * 1024
"""The largest answer, in bytes."""


def ask_server(
    config: ServerConfig, method: str, timeout_s: float = TIMEOUT_S, params: Mapping[str, Any] | None = None
) -> Any:
    """Call a method.

    Parameters:
        config: the configuration of the server.
        method: the full name of the method.
        timeout_s: how long the answer may take, in seconds.
        params: the parameters by name.

    Returns:
        The result as plain data.

    Raises:
        ConfigError: the server has no Unix socket, does not run, or refuses; the message says what to do.
    """
    with talk_to_server(config, method, timeout_s, params) as ask:
        return ask()


@contextmanager
def talk_to_server(
    config: ServerConfig, method: str, timeout_s: float = TIMEOUT_S, params: Mapping[str, Any] | None = None
) -> Iterator[Callable[[], Any]]:
    """Connect, to call a method, perhaps many times.

    Parameters:
        config: the configuration of the server.
        method: the full name of the method.
        timeout_s: how long each answer may take, in seconds.
        params: the parameters by name.

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
    headers = None
    if not config.listen.unix_peer_credentials:
        headers = {"Authorization": f"Bearer {read_token(config.token_path)}"}
    try:
        with unix_connect(
            str(path),
            uri="ws://localhost/",
            additional_headers=headers,
            open_timeout=TIMEOUT_S,
            max_size=MOST_BYTES,
            compression=None,
        ) as connection:

            def ask() -> Any:
                request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
                connection.send(json.dumps(request))
                answer = json.loads(connection.recv(timeout_s))
                if "error" in answer:
                    raise ConfigError(f"{path}: {answer['error']['message']}")
                return answer["result"]

            yield ask
    except (OSError, WebSocketException, TimeoutError) as exc:
        raise ConfigError(f"{path}: no server answers here ({exc}): start it, or name its file with --config") from exc
