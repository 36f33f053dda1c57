"""The manifest: which files an installation has put in place, so that they, and nothing else, can be taken back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rpcserver.config import ConfigError
from rpcwire.trusted_files import UntrustedFile, read_file

VERSION = 1
"""The version of the form."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was installed.

    Attributes:
        files: the SHA-256 of each file as it was put in place, in hexadecimal digits, by its path.
        folders: the folders that were made for them, each before those in it.
    """

    files: Mapping[Path, str] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()


def digest(data: bytes) -> str:
    """The SHA-256 of a file's content, in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def read_manifest(path: Path) -> Manifest | None:
    """Read the manifest; ``None`` if nothing was installed.

    Raises:
        ConfigError: it cannot be read, somebody else could have changed it, or it is of a newer version.
    """
    try:
        document = json.loads(read_file(path))
        if document["version"] != VERSION:
            raise ConfigError(f"{path}: it is of version {document['version']}: use the rpcserver that has installed")
        files = {Path(name): str(value) for name, value in document["files"].items()}
        return Manifest(files, tuple(map(Path, document["folders"])))
    except FileNotFoundError:
        return None
    except UntrustedFile as exc:
        raise ConfigError(str(exc)) from exc
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ConfigError(f"{path}: it is damaged: remove it, and then the files by hand") from exc


def write_manifest(manifest: Manifest) -> bytes:
    """The manifest as it stands in its file."""
    document = {
        "version": VERSION,
        "files": {str(path): value for path, value in sorted(manifest.files.items())},
        "folders": [str(path) for path in manifest.folders],
    }
    return (json.dumps(document, indent=2) + "\n").encode()
