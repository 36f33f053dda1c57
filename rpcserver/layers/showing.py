"""Shows the settings in force, and where each comes from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, SecretStr

from rpcserver.config import ServerConfig
from rpcserver.plugins.toml import write_key, write_value

from .lines import Path

MASK = "**********"
"""Stands for a secret."""


def settings(config: ServerConfig, tables: Mapping[Path, BaseModel]) -> Iterator[tuple[Path, Any]]:
    """Yield each setting in force by its path, secrets hidden. A table without keys is a setting, too.

    Parameters:
        config: the settings of the server.
        tables: the settings of services and further ways to authenticate, by the paths of their tables.
    """
    for path, value in _walk(config, ()):
        if not any(path[: len(place)] == place or place[: len(path)] == path for place in tables):
            yield path, value
    for place, model in tables.items():
        yield from _walk(model, place)


def _walk(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, SecretStr):
        yield path, MASK if value.get_secret_value() else ""
    elif isinstance(value, BaseModel):
        inner = {name: getattr(value, name) for name in type(value).model_fields} | (value.model_extra or {})
        yield from _walk(inner, path)
    elif isinstance(value, Mapping) and value:
        for key, each in value.items():
            yield from _walk(each, (*path, str(key)))
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield path, [_hide(item) for item in value]
    else:
        yield path, value


def _hide(value: Any) -> Any:
    """A value within a list, without secrets."""
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, BaseModel):
        return {name: _hide(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {key: _hide(each) for key, each in value.items()}
    return [_hide(item) for item in value] if isinstance(value, (list, tuple, set, frozenset)) else value


def write_settings(entries: Iterable[tuple[Path, Any]], origins: Mapping[Path, str] | None = None) -> Iterator[str]:
    """Yield the lines of a TOML document with these settings.

    Parameters:
        entries: the settings, from :func:`settings`.
        origins: where those that are no defaults come from; then each line ends with its origin.
    """
    tables: dict[Path, list[tuple[str | int, Any]]] = {(): []}
    for path, value in entries:
        tables.setdefault(path[:-1], []).append((path[-1], value))
    for table, rows in tables.items():
        if table:
            yield ""
            yield f"[{'.'.join(write_key(str(part)) for part in table)}]"
        for key, value in rows:
            line = (
                f"{write_key(str(key))} = {write_value(value)}" if value is not None else f"# {write_key(str(key))} ="
            )
            if origins is not None:
                line += f"  # {origin_of_setting(origins, (*table, key))}"
            yield line


def origin_of_setting(origins: Mapping[Path, str], path: Path) -> str:
    """Where a setting in force comes from: "default" if nobody has set it."""
    for length in range(len(path), 0, -1):
        if path[:length] in origins and (length == len(path) or not _is_section(path[:length])):
            return origins[path[:length]]
    inside = [origin for known, origin in origins.items() if known[: len(path)] == path]
    return inside[0] if inside else "default"


def _is_section(path: Path) -> bool:
    """Whether a table is always there, such as ``[log]`` or ``[services.hardware]``: that a file has it, and no key in
    it, sets nothing."""
    if path[0] == "services":
        return len(path) <= 2
    model: Any = ServerConfig
    for part in path:
        field = model.model_fields.get(str(part)) if isinstance(model, type) and issubclass(model, BaseModel) else None
        if field is None:
            return False
        model = field.annotation
    return isinstance(model, type) and issubclass(model, BaseModel)
