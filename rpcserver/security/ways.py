"""Ways to authenticate by the header ``Authorization`` of a request. The token is one of them and always on. Plugins
add further ones: classes in the group ``rpcserver.ways``. Each is on if ``[auth.ways.NAME]`` is in the settings."""

from __future__ import annotations

import inspect
import logging
import re
import traceback
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import ValidationError

from rpcserver.config import ConfigError, name_keys
from rpcwire.context import Principal
from rpcwire.errors import Unauthenticated, describe_fields, field_errors
from rpcwire.logs import about
from rpcwire.secret import hide, secrets_in
from rpcwire.service import ServiceConfig, ServiceConfigError

from .certificates import METHOD as CERTIFICATE
from .named_tokens import RESERVED, NamedTokens
from .sessions import METHOD as SESSION
from .sessions import Sessions
from .tokens import TokenStore
from .way import Way

logger = logging.getLogger("rpcserver.connection")

_STRANGER = about("", is_known=False)

GROUP = "rpcserver.ways"

OWN_METHODS = ("token", "peer", "memory", CERTIFICATE, SESSION)
"""What :attr:`Principal.method` is where no way of a plugin has found somebody."""

_SCHEME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class BearerToken(Way):
    """A token, as ``Authorization: Bearer TOKEN`` (RFC 6750, section 2.1).

    Parameters:
        tokens: the owner's token.
        named_tokens: the tokens of others.
        sessions: the sessions, each of which has a secret that counts as a token.

    Attributes:
        tokens, named_tokens, sessions: as above.
    """

    scheme = "Bearer"
    form = "Bearer TOKEN"
    wrong = "the token is wrong"

    def __init__(self, tokens: TokenStore, named_tokens: NamedTokens, sessions: Sessions) -> None:
        super().__init__(ServiceConfig())
        self.tokens = tokens
        self.named_tokens = named_tokens
        self.sessions = sessions

    def principal(self, credentials: str) -> Principal | None:
        return (
            self.tokens.principal(credentials)
            or self.named_tokens.principal(credentials)
            or self.sessions.principal(credentials)
        )


def make_ways(sections: Mapping[str, Any]) -> list[Way[Any]]:
    """Make the ways that the configuration names.

    Parameters:
        sections: the tables below ``[auth.ways]``, by the names of entry points.

    Raises:
        ConfigError: a way is not installed, cannot be imported, or cannot work with its settings.
    """
    points = {point.name: point for point in entry_points(group=GROUP)}
    ways: list[Way[Any]] = []
    for name, section in sections.items():
        if name not in points:
            names = ", ".join(sorted(points)) or "none"
            raise ConfigError(f"auth.ways.{name}: no such way to authenticate is installed; there are: {names}")
        ways.append(_make(_load(points[name]), name, section))
    return ways


def _load(point: EntryPoint) -> type[Way[Any]]:
    try:
        cls = point.load()
    except Exception as exc:
        raise ConfigError(f"auth.ways.{point.name} ({point.value}): {type(exc).__name__}: {exc}") from exc
    if not (isinstance(cls, type) and issubclass(cls, Way)):
        raise ConfigError(f"auth.ways.{point.name} ({point.value}): not a subclass of rpcserver.Way")
    return cls


def _make(cls: type[Way[Any]], name: str, section: Any) -> Way[Any]:
    try:
        config = cls.config_model.model_validate(section)
    except ValidationError as exc:
        errors = field_errors(exc, prefix=("auth", "ways", name))
        name_keys(errors, cls.config_model, 3)
        raise ConfigError(describe_fields(errors, 5), errors) from exc
    try:
        return cls(config)
    except ServiceConfigError as exc:
        raise ConfigError(f"auth.ways.{name}.{exc}") from exc
    except Exception as exc:
        text = hide(f"{type(exc).__name__}: {exc}", secrets_in(config))
        raise ConfigError(f"auth.ways.{name}: cannot be made: {text}") from exc


def by_scheme(ways: list[Way[Any]]) -> dict[str, Way[Any]]:
    """Index ways by their schemes in lower case.

    Raises:
        ConfigError: two ways have the same scheme, or a class of ways is incomplete; the message names it.
    """
    index: dict[str, Way[Any]] = {}
    for way in ways:
        if (fault := _fault(way)) is not None:
            raise ConfigError(f"auth.ways: {type(way).__name__}: {fault}")
        other = index.setdefault(way.scheme.lower(), way)
        if other is not way:
            names = f"{type(other).__name__} and {type(way).__name__}"
            raise ConfigError(f"auth.ways: two have the scheme {way.scheme}: {names}")
    return index


def _fault(way: Any) -> str | None:
    """Say what is wrong with a way's class; return ``None`` if nothing is."""
    if not isinstance(way, Way):
        return "not an instance of a subclass of rpcserver.Way"
    for name in ("scheme", "form", "wrong"):
        text = getattr(way, name, None)
        if not isinstance(text, str) or not text.isprintable() or not text:
            return f"{name} must be one line of text: set it in the class"
    if not _SCHEME.fullmatch(way.scheme):
        return f"{way.scheme!r} is not a scheme of the header Authorization"
    for function in (way.principal, way.renew, way.claimed_name):
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            return f"{function.__name__}() must be a plain function"
    return None


def ask(way: Way[Any], credentials: str) -> Principal | None:
    """Ask a way who sends a request. Nothing but a :class:`~rpcwire.context.Principal` lets anybody in, whatever the
    way returns.

    Parameters:
        way: the way of the request's scheme.
        credentials: what follows the scheme.

    Returns:
        As of :meth:`Way.principal`.

    Raises:
        Unauthenticated: the way failed; the log says where.
    """
    try:
        return _find_out(way, way.principal, credentials)
    except _WayFailed:
        raise Unauthenticated(f"{way.scheme}: this cannot be checked now; see the server's log") from None


def ask_again(way: Way[Any], principal: Principal) -> Principal | None:
    """Ask a way who somebody is now; ``None`` also if the way fails, which the log says: nobody stays in whom it cannot
    answer for.

    Parameters:
        way: the way that has found them.
        principal: who they were.
    """
    try:
        return _find_out(way, way.renew, principal)
    except _WayFailed:
        return None


class _WayFailed(Exception):
    """A way could not say who somebody is. The log says why."""


def _find_out(way: Way[Any], function: Callable[[Any], Any], argument: object) -> Principal | None:
    """Have a function of a way find out who somebody is.

    Raises:
        _WayFailed: it has failed, or has returned something else. The log has no message of an exception and no
            returned value, because both may repeat the credentials.
    """
    try:
        principal: Any = function(argument)
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # Even sys.exit() in a way must not end the server.
        fault = f"{type(exc).__name__} at\n{''.join(traceback.format_tb(exc.__traceback__))}"
    else:
        if principal is None:
            return None
        if not _is_whole(principal):
            fault = f"it returned {type(principal).__name__}, no Principal or None"
            if inspect.iscoroutine(principal):
                principal.close()  # Python would warn that nobody has awaited it.
        elif not _may_find(way, principal):
            fault = "it returned a Principal with a name or a method that the server gives itself"
        else:
            return principal  # type: ignore[no-any-return]
    where = getattr(function, "__name__", "?")
    logger.error("the way to authenticate by %s failed in %s(): %s", way.scheme, where, fault, extra=_STRANGER)
    raise _WayFailed


def _may_find(way: Way[Any], principal: Principal) -> bool:
    """Return whether a way may find somebody. Programs and other things belong to somebody by name, so somebody whom a
    plugin calls owner must not be taken for the owner."""
    return type(way) is BearerToken or not (principal.name in RESERVED or principal.method in OWN_METHODS)


def ask_name(way: Way[Any], credentials: str) -> str | None:
    """Ask a way which name credentials claim; ``None`` also if the way fails, since :func:`ask` reports that."""
    try:
        name: Any = way.claimed_name(credentials)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return None
    return name if isinstance(name, str) else None


def _is_whole(principal: Any) -> bool:
    return (
        isinstance(principal, Principal)
        and isinstance(principal.name, str)
        and bool(principal.name)
        and isinstance(principal.method, str)
        and (principal.uid is None or type(principal.uid) is int)
        and isinstance(principal.role, str)
        and isinstance(principal.credential, str)
    )
