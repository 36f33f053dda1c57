"""What every command shares: how to connect, how to print, and what to do when it fails."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from . import outcome, standard
from .many.target import Many

if TYPE_CHECKING:
    from rpcclient import AsyncClient, Client
    from rpcclient.targets import Access, TokenBy

_P = ParamSpec("_P")
_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Settings:
    """The global options.

    Attributes:
        url, token_file, token_by, ca_file, cert_file, key_file, server_hostname, proxy,
            allow_token_in_clear: as of :class:`rpcclient.Client`; what is not given comes from the environment.
        headers: lines ``Name: value``.
        timeout_s: the deadline of each call, in seconds; the method's own where ``None``.
        ping_interval_s, ping_timeout_s: as of :class:`rpcclient.Client`.
        as_json: print JSON, also on a terminal.
        node: the name or id of the node of the server's group to which to connect, through the server.
        many: the nodes that the command is for, and how they are asked.
    """

    url: str | None = None
    token_file: str | None = None
    token_by: TokenBy | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    server_hostname: str | None = None
    headers: tuple[str, ...] = field(default=(), repr=False)
    proxy: str | None = field(default=None, repr=False)
    allow_token_in_clear: bool | None = None
    timeout_s: float | None = None
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 20.0
    as_json: bool = False
    node: str | None = None
    many: Many = field(default_factory=Many)

    def connect(self, *, connect_timeout_s: float = 10.0) -> Client:
        """A client that is not connected yet.

        Raises:
            click.UsageError: an option, or what the environment has in its place, cannot be used.
        """
        from rpcclient import Client

        with _unusable_options_are_wrong_usage():
            return Client(self.url, timeout_s=self.timeout_s, connect_timeout_s=connect_timeout_s, **self._access())

    def connect_async(self) -> AsyncClient:
        """The same with asyncio."""
        from rpcclient import AsyncClient

        with _unusable_options_are_wrong_usage():
            return AsyncClient(self.url, timeout_s=self.timeout_s, **self._access())

    def _access(self) -> Access:
        return {
            "token_file": self.token_file,
            "token_by": self.token_by,
            "ca_file": self.ca_file,
            "cert_file": self.cert_file,
            "key_file": self.key_file,
            "server_hostname": self.server_hostname,
            "headers": _headers(self.headers) if self.headers else None,
            "proxy": True if self.proxy is None else _proxy(self.proxy),
            "allow_token_in_clear": self.allow_token_in_clear,
            "ping_interval_s": self.ping_interval_s,
            "ping_timeout_s": self.ping_timeout_s,
            "node": self.node,
        }

    def for_program(self) -> Settings:
        """The same settings without a deadline for calls: it is the deadline of the program instead."""
        return replace(self, timeout_s=None)

    @property
    def readable(self) -> bool:
        """Whether a person reads the output: it goes to a terminal, and JSON was not asked for."""
        return not self.as_json and sys.stdout.isatty()


_PUBLIC = "all users of this machine can read a command line"


def _headers(lines: tuple[str, ...]) -> dict[str, str]:
    from rpcclient.headers import public_headers_of

    return public_headers_of("\n".join(lines), _PUBLIC, "put this header into RPC_HEADERS")


def _proxy(url: str) -> str:
    from rpcclient.proxies import public_proxy_of

    return public_proxy_of(url, _PUBLIC, "put this URL into RPC_PROXY")


@contextmanager
def _unusable_options_are_wrong_usage() -> Iterator[None]:
    """Turn the errors of a client's constructor into wrong usage. It does not connect, so the cause is an option."""
    from rpcwire.errors import ConnectFailed

    try:
        yield
    except ConnectFailed as exc:
        raise click.UsageError(exc.message) from None


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
        except OSError as exc:
            sys.exit(standard.report_failure(exc))

    return run


def _as_json(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    settings = ctx.find_object(Settings)
    if value and settings is not None:
        ctx.obj = replace(settings, as_json=True)


def json_option(command: _F) -> _F:
    """Take the global ``--json`` behind the command, too."""
    return click.option(
        "--json", is_flag=True, expose_value=False, callback=_as_json, help="Print JSON, also on a terminal."
    )(command)


_OPTION = re.compile(r"(--[a-z][a-z-]*)(=.*)?", re.DOTALL)


class WithValues(click.Command):
    """A command that takes values such as ``-5``, but no option that it does not know: a typo is no value. What stands
    behind ``--`` is."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse unknown options, and take the rest as usual."""
        options = [option for param in self.get_params(ctx) for option in param.opts]
        for word in args[: args.index("--")] if "--" in args else args:
            match = _OPTION.fullmatch(word)
            if match and match[1] not in options:
                import difflib  # Only for errors.

                raise click.NoSuchOption(match[1], possibilities=difflib.get_close_matches(match[1], options), ctx=ctx)
        return super().parse_args(ctx, args)


pass_settings = click.make_pass_decorator(Settings)
