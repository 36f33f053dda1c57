"""What every command shares: how to connect, how to print, and what to do when it fails."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec

import click

from . import outcome

if TYPE_CHECKING:
    from rpcclient import AsyncClient, Client

_P = ParamSpec("_P")


@dataclass(frozen=True)
class Settings:
    """The global options.

    Attributes:
        url, token_file, ca_file: as of :class:`rpcclient.Client`; what is not given comes from the environment.
        timeout_s: the deadline of each call, in seconds; the method's own where ``None``.
        as_json: print JSON, also on a terminal.
    """

    url: str | None = None
    token_file: str | None = None
    ca_file: str | None = None
    timeout_s: float | None = None
    as_json: bool = False

    def connect(self, *, connect_timeout_s: float = 10.0) -> Client:
        """A connected client.

        Raises:
            RpcError: the server cannot be reached, or refuses.
        """
        from rpcclient import Client

        return Client(
            self.url,
            token_file=self.token_file,
            ca_file=self.ca_file,
            timeout_s=self.timeout_s,
            connect_timeout_s=connect_timeout_s,
        )

    def connect_async(self) -> AsyncClient:
        """A client that is not connected yet."""
        from rpcclient import AsyncClient

        return AsyncClient(self.url, token_file=self.token_file, ca_file=self.ca_file, timeout_s=self.timeout_s)

    @property
    def readable(self) -> bool:
        """Whether a person reads the output: it goes to a terminal, and JSON was not asked for."""
        return not self.as_json and sys.stdout.isatty()


def command(function: Callable[_P, None]) -> Callable[_P, None]:
    """Wrap a command: whatever goes wrong ends in a line on standard error and an exit status."""

    @wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        from rpcwire.errors import RpcError

        try:
            function(*args, **kwargs)
            sys.stdout.flush()
        except RpcError as exc:
            sys.exit(outcome.report(exc))
        except KeyboardInterrupt:
            print("rpcclient: interrupted", file=sys.stderr)
            sys.exit(outcome.INTERRUPTED)
        except BrokenPipeError:
            # Whoever read the output has seen enough. Python would complain once more when it closes it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(outcome.OK)

    return run


pass_settings = click.make_pass_decorator(Settings)
