"""Reads settings from the credentials of systemd (systemd.exec(5), ``LoadCredential=``). A credential with the dotted
name of a key has the value of that key: ``tls.key_password``. For a key that names a file, such as ``tls.key_file``,
the credential ``tls.key`` is that file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from rpcwire.trusted_files import UntrustedFile, read_secret

VARIABLE = "CREDENTIALS_DIRECTORY"


def read_credentials(model: type[BaseModel], environ: Mapping[str, str]) -> dict[str, Any]:
    """Read the settings among the credentials. Others may lie beside them: databases find their passwords there.

    Parameters:
        model: the model of the whole configuration.
        environ: the environment, which names the folder.

    Returns:
        The settings, nested as in the file.

    Raises:
        ValueError: a credential names no key, is no text, or others may read or change it; the message names it.
    """
    folder = environ.get(VARIABLE)
    content: dict[str, Any] = {}
    if not folder:
        return content
    try:
        names = sorted(entry.name for entry in os.scandir(folder))
    except OSError as exc:
        raise ValueError(f"${VARIABLE}: {folder}: {exc.strerror}") from exc
    for name in names:
        section, *keys = name.split(".")
        if keys and all(keys) and section in model.model_fields:
            _put(content, model, name, Path(folder, name))
    return content


def _put(content: dict[str, Any], model: type[BaseModel], name: str, file: Path) -> None:
    *sections, key = name.split(".")
    table: Any = content
    fields = _fields_of(model, sections)
    for section in sections:
        table = table.setdefault(section, {})
        if isinstance(table, str):
            raise ValueError(f"${VARIABLE}: {name}: another credential is the value of {section}")  # noqa: TRY004
    if fields is not None and f"{key}_file" in fields:
        table[f"{key}_file"] = str(file)
    elif fields is None or key in fields:
        table[key] = _read(name, file)
    else:
        files = [field.removesuffix("_file") for field in fields if field.endswith("_file")]
        known = ", ".join(f"{'.'.join(sections)}.{each}" for each in [*files, *fields])
        raise ValueError(f"${VARIABLE}: {name}: there is no such key; there are: {known}")


def _fields_of(model: type[BaseModel], sections: list[str]) -> list[str] | None:
    """Return the keys of a table; ``None`` if a plugin knows them."""
    for section in sections:
        annotation = model.model_fields[section].annotation if section in model.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return None
        model = annotation
    return list(model.model_fields)


def _read(name: str, file: Path) -> str:
    try:
        # systemd gives the service's user access to a credential by an ACL, which looks like a right of the group.
        return read_secret(file, group_may_read=True)
    except UntrustedFile as exc:
        raise ValueError(f"${VARIABLE}: {exc}") from None
    except OSError as exc:
        raise ValueError(f"${VARIABLE}: {name}: {exc.strerror}") from exc
    except ValueError as exc:
        raise ValueError(f"${VARIABLE}: {name}: {exc}") from None
