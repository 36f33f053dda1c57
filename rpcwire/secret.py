"""Marks parameters whose values are secret: passwords, tokens, keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from pydantic import SecretBytes, SecretStr

HIDDEN = "***"
"""Stands for a secret value where a person reads what was sent."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Marks a parameter of a method as secret: ``token: Annotated[str, Secret()]``. It is sent as any other. Whoever
    writes down what was called, such as an audit, writes :data:`HIDDEN` in its place, and no error repeats it."""


def is_secret(annotation: Any) -> bool:
    """Return whether an annotation, or a part of it, is marked as secret."""
    if isinstance(annotation, Secret) or annotation in (SecretStr, SecretBytes):
        return True
    if get_origin(annotation) is None:
        return False
    if get_origin(annotation) is Annotated:
        return any(isinstance(mark, Secret) for mark in annotation.__metadata__) or is_secret(annotation.__origin__)
    return any(is_secret(part) for part in get_args(annotation))
