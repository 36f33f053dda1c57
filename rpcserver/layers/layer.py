"""A layer of the configuration, and how layers are put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .lines import Path


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings from one place.

    Attributes:
        content: the settings, nested as in the file.
        origin: tells where the value of a path stands, for a person.
    """

    content: Mapping[str, Any]
    origin: Callable[[Path], str]


def merge(layers: Iterable[Layer]) -> tuple[dict[str, Any], dict[Path, str]]:
    """Put layers together. A later one goes before an earlier one, key by key; lists are replaced whole.

    Returns:
        The settings, and the origin of each value that is no table; an empty table has an origin, too.
    """
    content: dict[str, Any] = {}
    origins: dict[Path, str] = {}
    for layer in layers:
        _put(layer.content, content, (), layer.origin, origins)
    return content, origins


def _put(
    source: Mapping[str, Any],
    target: dict[str, Any],
    path: Path,
    origin: Callable[[Path], str],
    origins: dict[Path, str],
) -> None:
    for key, value in source.items():
        place = (*path, key)
        if isinstance(value, Mapping):
            inner = target.get(key)
            if not isinstance(inner, dict):
                target[key] = inner = {}
            if not inner:
                origins[place] = origin(place)
            if value:
                origins.pop(place, None)
            _put(value, inner, place, origin, origins)
        else:
            if isinstance(target.get(key), dict):
                for old in [known for known in origins if known[: len(place)] == place]:
                    del origins[old]
            target[key] = value
            origins[place] = origin(place)


def origin_of(origins: Mapping[Path, str], path: Path) -> str | None:
    """Return where the value at a path comes from; ``None`` for a default.

    Parameters:
        origins: of :func:`merge`.
        path: the way to the value. It may lead into a value, or name a key that is missing in a table.
    """
    for length in range(len(path), 0, -1):
        around = path[:length]
        if around in origins:
            return origins[around]
        if (
            inside := next((origin for known, origin in origins.items() if known[:length] == around), None)
        ) is not None:
            return inside
    return None
