"""Lets root give commands to a server that another user runs: such a command goes on as that user. The server itself is
not root's to run."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rpcserver.config import ConfigError, ServerConfig

from .reading import read_configuration


def load_as_server_user(config_file: Path | None, overrides: Mapping[str, Any] | None = None) -> ServerConfig:
    """Load the configuration; root then becomes the user of the server that has it.

    Parameters:
        config_file: see :func:`~rpcserver.layers.loading.load`.
        overrides: likewise.

    Returns:
        The configuration.

    Raises:
        ConfigError: it cannot be used.
    """
    config = read_configuration(config_file, overrides).config
    become_owner(config.state_path)
    return config


def become_owner(folder: Path) -> None:
    """Go on as the user to whom the state folder of a server belongs, if this process is root's.

    The server takes calls on its Unix socket from its own user, could not read what root writes into its folder, and
    trusts no file of others. A process cannot become root again.

    Parameters:
        folder: the state folder. Without it nothing happens.
    """
    if (account := _find_owner(folder)) is not None:
        os.initgroups(account.pw_name, account.pw_gid)
        os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
        os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
        os.environ["HOME"] = account.pw_dir


@contextmanager
def act_as_owner(folder: Path) -> Iterator[None]:
    """Do something as the user to whom the state folder belongs, if this process is root's, and be root again.

    Parameters:
        folder: the state folder. Without it nothing happens.
    """
    if (account := _find_owner(folder)) is None:
        yield
        return
    groups, gid = os.getgroups(), os.getegid()
    try:
        os.initgroups(account.pw_name, account.pw_gid)
        os.setegid(account.pw_gid)
        os.seteuid(account.pw_uid)
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        os.setgroups(groups)


def refuse_to_serve_for_another(folder: Path) -> None:
    """Refuse to run a server as root whose state folder belongs to another user: what root would make in it that user
    could not read, and root trusts no file of others.

    Parameters:
        folder: the state folder.

    Raises:
        ConfigError: it belongs to another user; the message says how to start the server.
    """
    if (account := _find_owner(folder)) is not None:
        name = account.pw_name
        raise ConfigError(
            f"state_dir: {folder} belongs to the user {name}, and root cannot run its server: run: systemctl start "
            f"rpcserver; or, without systemd: runuser -u {name} -- rpcserver serve; or name another folder for a "
            "server of root's own"
        )


def _find_owner(folder: Path) -> pwd.struct_passwd | None:
    """Find the account to which a folder belongs, if this process is root's and that is another user."""
    if os.geteuid() != 0:
        return None
    try:
        account = pwd.getpwuid(folder.stat().st_uid)
    except (OSError, KeyError):  # There is no folder yet, or its owner has no account.
        return None
    return account if account.pw_uid != 0 else None
