"""Changes a key in a TOML file; comments, order and form of everything else stay."""

from __future__ import annotations

import os
import tempfile
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from rpcserver.config import ConfigError
from rpcwire.trusted_files import UntrustedFile, check_folder

_MOST_PARTS = 50
"""No key of the configuration has more parts."""


def read_value(text: str) -> Any:
    """Read a value as TOML; what is not TOML is text, so that a word needs no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"] if "\n" not in text else text
    except (ValueError, RecursionError):
        return text


def read_key(text: str) -> list[str]:
    """Read a key with its dots, as in TOML: ``roles."night shift".permissions``.

    Raises:
        ConfigError: the text is no key.
    """
    try:
        table: Any = tomllib.loads(f"{text} = 0") if "\n" not in text and "=" not in text else {}
    except (ValueError, RecursionError):
        table = {}
    parts: list[str] = []
    while isinstance(table, dict) and table:
        ((key, table),) = table.items()
        parts.append(key)
    if not 0 < len(parts) <= _MOST_PARTS:
        raise ConfigError(f"KEY: {text[:80]!r} is no key: write it with dots, such as listen.port")
    return parts


def change(text: str, key: Sequence[str], value: Any) -> str:
    """Set a key in a document, or remove it.

    Parameters:
        text: the TOML document.
        key: the parts of the key.
        value: the new value; ``None`` removes the key.

    Raises:
        ConfigError: on the way to the key stands something that is no table, or the key to remove is not there.
    """
    try:
        document = tomlkit.parse(text)
    except TOMLKitError as exc:
        raise ConfigError(f"not TOML: {exc}") from exc
    table: Any = document
    for depth, part in enumerate(key[:-1], 1):
        if part not in table:
            if value is None:
                raise ConfigError(f"{'.'.join(key)}: it is not set in this file")
            table[part] = tomlkit.table(is_super_table=depth < len(key) - 1)
        table = table[part]
        if not hasattr(table, "items"):
            raise ConfigError(f"{'.'.join(key[:depth])}: it is no table in this file")
    if value is not None:
        table[key[-1]] = value
    elif key[-1] in table:
        del table[key[-1]]
    else:
        raise ConfigError(f"{'.'.join(key)}: it is not set in this file")
    return tomlkit.dumps(document)


def replace_file(file: Path, text: str) -> None:
    """Write a file anew, at once or not at all. Mode, owner and group stay. A symbolic link stays, too; the file to
    which it leads is written.

    Raises:
        ConfigError: the folder or the file cannot be written, or others may change what is in the folder.
    """
    try:
        file = Path(os.path.realpath(file))
        above = file.parent
        while not above.exists():
            above = above.parent
        check_folder(above)
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                if file.exists():
                    old = file.stat()
                    os.fchmod(stream.fileno(), old.st_mode & 0o7777)
                    if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                        os.fchown(stream.fileno(), old.st_uid, old.st_gid)
                else:
                    os.fchmod(stream.fileno(), 0o640)
                os.fsync(stream.fileno())
            Path(name).replace(file)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise
    except UntrustedFile as exc:
        raise ConfigError(f"the configuration: {exc}") from None
    except OSError as exc:
        raise ConfigError(f"{file}: {exc.strerror}: run it as the user to whom the file belongs") from exc
