"""Writes TOML (toml.io): values on one line, as a person would write them."""

from __future__ import annotations

import json
import re
from enum import Enum
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel, SecretStr


def write_value(value: Any) -> str:
    """Write a value, a table in braces.

    Parameters:
        value: what TOML knows, or a model, an enumeration, a path or a secret. In tables, ``None`` is left out.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Enum):
        return write_value(value.value)
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (str, PurePath)):
        return _write_text(str(value))
    if isinstance(value, SecretStr):
        return write_value(value.get_secret_value())  # A default is known to everybody.
    if isinstance(value, BaseModel):
        return write_value({k: v for k, v in value.model_dump().items() if v is not None})
    if hasattr(value, "items"):
        pairs = ", ".join(f"{write_key(str(k))} = {write_value(v)}" for k, v in value.items() if v is not None)
        return f"{{ {pairs} }}" if pairs else "{}"
    if hasattr(value, "isoformat"):
        return str(value.isoformat())  # A date or a time.
    return "[" + ", ".join(write_value(item) for item in value) + "]"


def write_key(key: str) -> str:
    """Write a key, with quotes if it needs some."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _write_text(key)


def _write_text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
