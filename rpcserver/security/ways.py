"""Ways to authenticate by the header ``Authorization`` of a request. The token is one of them and always on. Plugins
add further ones: classes in the group ``rpcserver.ways``. Each is on if ``[auth.ways.NAME]`` is in the settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import ValidationError

from rpcserver.config import ConfigError, name_keys
from rpcwire.context import Principal
from rpcwire.errors import describe_fields, field_errors
from rpcwire.service import ServiceConfig, ServiceConfigError

from .tokens import TokenStore
from .way import Way

GROUP = "rpcserver.ways"

_SCHEME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class BearerToken(Way):
    """The token of the server, as ``Authorization: Bearer TOKEN`` (RFC 6750, section 2.1).

    Parameters:
        tokens: the tokens that open the server.

    Attributes:
        tokens: as above.
    """

    scheme = "Bearer"
    form = "Bearer TOKEN"
    wrong = "the token is wrong"

    def __init__(self, tokens: TokenStore) -> None:
        super().__init__(ServiceConfig())
        self.tokens = tokens

    def principal(self, credentials: str) -> Principal | None:
        return self.tokens.principal(credentials)


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
        raise ConfigError(describe_fields(errors, 5)) from exc
    try:
        return cls(config)
    except ServiceConfigError as exc:
        raise ConfigError(f"auth.ways.{name}.{exc}") from exc
    except Exception as exc:
        raise ConfigError(f"auth.ways.{name}: cannot be made: {type(exc).__name__}: {exc}") from exc


def by_scheme(ways: list[Way[Any]]) -> dict[str, Way[Any]]:
    """Index ways by their schemes in lower case.

    Raises:
        ConfigError: two ways have the same scheme, or a scheme is malformed.
    """
    index: dict[str, Way[Any]] = {}
    for way in ways:
        if not _SCHEME.fullmatch(way.scheme):
            text = f"{way.scheme!r} is not a scheme of the header Authorization"
            raise ConfigError(f"auth.ways: {type(way).__name__}: {text}")
        other = index.setdefault(way.scheme.lower(), way)
        if other is not way:
            names = f"{type(other).__name__} and {type(way).__name__}"
            raise ConfigError(f"auth.ways: two have the scheme {way.scheme}: {names}")
    return index
