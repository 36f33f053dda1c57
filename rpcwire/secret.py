"""Which values are secret, such as passwords, tokens and keys: parameters of methods that are marked with
:class:`Secret`, and settings of the types ``SecretStr`` and ``SecretBytes`` of pydantic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin
from urllib.parse import unquote

from pydantic import BaseModel, SecretBytes, SecretStr

MASK = "***"
"""Stands for a secret value where a person reads what was sent."""

LEAST_CHARACTERS = 6
"""Shorter secrets are not looked for in texts: they could stand in any text."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Marks a parameter of a method as secret: ``token: Annotated[str, Secret()]``. It is sent as any other. Whoever
    writes down what was called, such as an audit, writes :data:`MASK` in its place, and no error repeats it."""


def is_secret(annotation: Any) -> bool:
    """Return whether an annotation, or a part of it, is marked as secret."""
    if isinstance(annotation, Secret) or annotation in (SecretStr, SecretBytes):
        return True
    if get_origin(annotation) is None:
        return False
    if get_origin(annotation) is Annotated:
        return any(isinstance(mark, Secret) for mark in annotation.__metadata__) or is_secret(annotation.__origin__)
    return any(is_secret(part) for part in get_args(annotation))


def secrets_in(value: Any) -> Iterator[str]:
    """Yield the values of all settings that are secret: those of the types ``SecretStr`` and ``SecretBytes``, in
    models, mappings and lists. Of a URL also its password.

    Parameters:
        value: a model of settings, or a part of one.
    """
    if isinstance(value, (SecretStr, SecretBytes)):
        plain = value.get_secret_value()
        text = plain if isinstance(plain, str) else plain.decode(errors="replace")
        yield text
        if "://" in text:
            yield from _password_in(text)
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from secrets_in(getattr(value, name))
        yield from secrets_in(value.model_extra)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from secrets_in(inner)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for inner in value:
            yield from secrets_in(inner)


def _password_in(url: str) -> Iterator[str]:
    user = url.partition("://")[2].rpartition("@")[0]
    password = user.partition(":")[2]
    if password:
        yield password
        yield unquote(password)


def hide(text: str, secrets: Iterable[str]) -> str:
    """Put :data:`MASK` in the place of secrets in a text.

    Parameters:
        text: the text.
        secrets: the secrets; those of less than :data:`LEAST_CHARACTERS` characters stay.
    """
    for secret in secrets:
        if len(secret) >= LEAST_CHARACTERS and secret in text:
            text = text.replace(secret, MASK)
    return text
