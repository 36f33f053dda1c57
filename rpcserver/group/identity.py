"""Who this server is in the group: its id, and the number of its life. Both are stored before they are used."""

from __future__ import annotations

import json
import re
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from rpcserver.config import ConfigError
from rpcwire.trusted_files import UntrustedFile, make_folder, read_file

from .broker_settings import write_secret
from .members import MOST_EPOCH, NAME_CHARACTERS, InvalidGroupMessage, first_epoch, format_id, parse_id, read_number

IDENTITY = "node.json"
"""The file in the group's folder of the state with the id and the last epoch."""
_ID_BITS = 64


@dataclass(frozen=True, slots=True)
class Identity:
    """A node in one life of its process.

    Attributes:
        id: the number of the node, which no other node has.
        epoch: the number of this process's first life.
    """

    id: int
    epoch: int


def begin_identity(folder: Path, own: int | None, wall_s: float, *, is_new: bool = False) -> Identity:
    """Begin a process of this node: store what it is from now on, and return it.

    Parameters:
        folder: the group's folder in the state folder; it is made if it is missing.
        own: the id, if the node's credentials name it; otherwise that of the file, or a new one.
        wall_s: the time of day, in seconds since 1970.
        is_new: whether the id in the file must not be used any more, because another node has it, too.

    Raises:
        ConfigError: the file cannot be read or written, or is malformed.
    """
    path = folder / IDENTITY
    old_id, last = None, 0
    try:
        make_folder(folder)
        data = json.loads(read_file(path))
        old_id = parse_id(data["id"] if isinstance(data["id"], str) else "")
        last = read_number("epoch", data["epoch"], MOST_EPOCH)
    except FileNotFoundError:
        pass
    except UntrustedFile as exc:
        raise ConfigError(f"state_dir: {exc}") from None
    except OSError as exc:
        raise ConfigError(f"state_dir: {path}: {exc.strerror}") from exc
    except (ValueError, KeyError, TypeError, InvalidGroupMessage):
        raise ConfigError(f"state_dir: {path} is malformed: remove it, and this server becomes a new node") from None
    if own is None:
        own = secrets.randbits(_ID_BITS) if old_id is None or is_new else old_id
    identity = Identity(own, first_epoch(last, wall_s, secrets.randbits(32)))
    write_secret(path, json.dumps({"id": format_id(identity.id), "epoch": identity.epoch}) + "\n", "state_dir")
    return identity


def make_identity(wall_s: float) -> Identity:
    """Return who a server is that is alone: this is not stored.

    Parameters:
        wall_s: the time of day, in seconds since 1970.
    """
    return Identity(secrets.randbits(_ID_BITS), first_epoch(0, wall_s, secrets.randbits(32)))


def name_of_machine() -> str:
    """Return the name of this machine as a node may have it."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:NAME_CHARACTERS].strip("._-")
    return name or "node"
