"""What has changed between two configurations, and what of it a server that runs can use."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, SecretStr

from rpcserver.config import RoleConfig, ServerConfig
from rpcwire.logs import printable
from rpcwire.service import ServiceConfig

from .keys import RULES, Effect, Path, Rule, list_keys, tls_rules

_MOST_CHARACTERS = 100
"""The longest value in a report, in characters."""

_ABSENT = object()

_HIDDEN = "(a table)"

_ConfigT = TypeVar("_ConfigT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that has changed.

    Attributes:
        path: the names of its key and of the tables around it.
        old, new: its values, for a person; secrets are hidden.
        rule: what the reload does with it.
    """

    path: Path
    old: str
    new: str
    rule: Rule

    @property
    def key(self) -> str:
        """The key with its tables, as messages name it."""
        return ".".join(self.path)


def find_changes(old: ServerConfig, new: ServerConfig) -> list[Change]:
    """List what has changed, but for the settings of services.

    Parameters:
        old: the settings in use.
        new: the settings that were read.
    """
    rules = {**RULES, **tls_rules(is_on=_has_tls(old), will_be_on=_has_tls(new))}
    return [
        Change((*path, *inner), before, after, rules[path])
        for path in list_keys()
        if path != ("services",)
        for inner, before, after in _differences(_value_at(old, path), _value_at(new, path), path)
    ]


def find_service_changes(name: str, old: ServiceConfig, new: ServiceConfig, rules: Mapping[str, Rule]) -> list[Change]:
    """List what has changed of one service's settings.

    Parameters:
        name: the name of the service.
        old: the settings in use.
        new: the settings that were read.
        rules: the rules of its keys that cannot be changed at once.
    """
    at_once = Rule(Effect.AT_ONCE)
    return [
        Change(("services", name, *inner), before, after, rules.get(inner[0] if inner else "", at_once))
        for inner, before, after in _differences(old.model_dump(), new.model_dump(), ("services", name))
    ]


def find_unread_changes(old: ServerConfig, new: ServerConfig, names: Collection[str]) -> list[Change]:
    """List the tables of services that have changed, and that nobody has read: their code is not loaded.

    Parameters:
        old: the settings in use.
        new: the settings that were read.
        names: the names of the services that have read theirs.
    """
    rule = Rule(Effect.RESTART, "the service's code is not loaded")
    return [
        Change(("services", name), _HIDDEN, _HIDDEN, rule)
        for name in sorted({*old.services, *new.services} - {*names})
        if old.services.get(name) != new.services.get(name)
    ]


def keep_old(old: ServerConfig, new: ServerConfig) -> ServerConfig:
    """Return the new settings with those of the old ones that hold until a restart."""
    rules = {**RULES, **tls_rules(is_on=_has_tls(old), will_be_on=_has_tls(new))}
    tables: dict[str, dict[str, Any]] = {}
    whole: dict[str, Any] = {}
    for path, rule in rules.items():
        if rule.effect is Effect.RESTART:
            if len(path) == 1:
                whole[path[0]] = getattr(old, path[0])
            else:
                tables.setdefault(path[0], {})[path[1]] = _value_at(old, path)
    for table, values in tables.items():
        whole[table] = getattr(new, table).model_copy(update=values)
    return new.model_copy(update=whole)


def keep_old_keys(old: _ConfigT, new: _ConfigT, keys: Iterable[str]) -> _ConfigT:
    """Return new settings with the old values of some keys."""
    return new.model_copy(update={key: getattr(old, key) for key in keys})


def _has_tls(config: ServerConfig) -> bool:
    return bool(config.tls.certificate_file)


def _value_at(config: ServerConfig, path: Path) -> Any:
    value: Any = config
    for name in path:
        value = getattr(value, name)
    return value


def _differences(old: Any, new: Any, place: Path) -> Iterator[tuple[Path, str, str]]:
    """Yield each value that differs: its path from ``place``, and both values for a person."""
    old, new = _plain(old), _plain(new)
    if old != new and _is_of_plugin(place):
        yield (), _HIDDEN, _HIDDEN
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            values = old.get(key, _ABSENT), new.get(key, _ABSENT)
            for path, before, after in _differences(*values, (*place, str(key))):
                yield (str(key), *path), before, after
    elif old != new:
        yield (), _show(old), _show(new)


def _is_of_plugin(place: Path) -> bool:
    """Whether a place belongs to a plugin and was not read by its model, so that nobody knows what is secret there: a
    table of a way to authenticate, or of a service in a role."""
    if place[:2] == ("auth", "ways"):
        return len(place) == 3
    return place[0] == "roles" and len(place) == 3 and place[2] not in RoleConfig.model_fields


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump()
    return dict(value) if isinstance(value, Mapping) else value


def _show(value: Any) -> str:
    if value is _ABSENT:
        return "(nothing)"
    if isinstance(value, SecretStr):
        return "(a secret)"
    if isinstance(value, dict):
        return _HIDDEN if value else "{}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return printable(f"[{', '.join(map(_show, value))}]", _MOST_CHARACTERS)
    return printable(f'"{value}"' if isinstance(value, str) else f"{value}", _MOST_CHARACTERS)
