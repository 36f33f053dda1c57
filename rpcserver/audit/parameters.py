"""What an audit log says of the parameters of a call."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Annotated, Any, Literal, get_args

from msgspec import Raw
from pydantic import BaseModel

from rpcwire.codec import Codec, codec_for
from rpcwire.contracts import Contract
from rpcwire.errors import RpcError
from rpcwire.registry import Registry
from rpcwire.secret import MASK, is_secret
from rpcwire.values.dynamic import dump_plain, load_plain

from .lines import quote_raw

MOST_CHARACTERS = 2000
"""The most characters of the parameters of a call."""

DECODED_BYTES = 64 * 1024
"""Larger parameters are not decoded for the log, which shows a small part of them at most."""

Writing = Callable[[str, Any, Codec | None], str | Raw]
"""Writes about parameters, by the method's full name, the encoded parameters, and the form of the wire, which only
showing them needs. It returns their SHA-256 in hexadecimal digits, or a text in JSON."""

_HAS_SECRETS = quote_raw("secret")
"""Is written instead of the hash of parameters with a secret among them: a short secret could be guessed from it."""


def choose_writing(kind: Literal["hash", "redacted", "none"], registry: Registry) -> Writing | None:
    """Return what writes about parameters; ``None`` if nothing is to be written.

    Parameters:
        kind: the setting ``audit.parameters``.
        registry: the methods of the server.
    """
    if kind == "none":
        return None
    secret = methods_with_secrets(registry)

    def write_hash(method: str, params: Any, _: Codec | None) -> str | Raw:
        return _HAS_SECRETS if method in secret else sha256(params).hexdigest()

    def redact(method: str, params: Any, codec: Codec | None) -> str | Raw:
        offer = registry.get(method)
        text = None if offer is None or codec is None else _redact(offer.contract, params, codec)
        return write_hash(method, params, codec) if text is None else quote_raw(text, MOST_CHARACTERS)

    return write_hash if kind == "hash" else redact


def methods_with_secrets(registry: Registry) -> frozenset[str]:
    """Return the full names of the methods that have secret parameters."""
    return frozenset(name for name, offer in registry.offers.items() if secret_names(offer.contract))


def secret_names(contract: Contract) -> frozenset[str]:
    """Return the names of the parameters that are secret, or are models with a secret field."""
    models = {p.name for p in contract.parameters if _has_secret_field(p.annotation, set())}
    return contract.secret_parameters | models


def _has_secret_field(annotation: Any, models: set[Any]) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation in models:
            return False
        models.add(annotation)
        parts = [
            Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
            for field in annotation.model_fields.values()
        ]
        return any(is_secret(part) or _has_secret_field(part, models) for part in parts)
    return any(_has_secret_field(part, models) for part in get_args(annotation))


def _redact(contract: Contract, params: Any, codec: Codec) -> str | None:
    """Show parameters by name, without secrets; ``None`` if they cannot be shown."""
    if len(memoryview(params)) > DECODED_BYTES:
        return None
    names = [parameter.name for parameter in contract.parameters]
    secret = secret_names(contract)
    try:
        plain = load_plain(params, codec)
        if isinstance(plain, list):
            if len(plain) > len(names):
                return None  # Nobody knows which of them is secret.
            plain = dict(zip(names, plain, strict=False))
        values = {
            name: MASK if name in secret else _cut(value)
            for name, value in plain.items()
            if name in names  # What is no parameter may be a secret with a mistake in its name.
        }
        return dump_plain(values, codec_for("rpc.v1.json")).decode(errors="backslashreplace")
    except RpcError:
        return None


def _cut(value: Any) -> Any:
    """Shorten what would fill the line."""
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return value[:MOST_CHARACTERS] if isinstance(value, str) else value
