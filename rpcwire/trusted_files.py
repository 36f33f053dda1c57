"""Uses a file only if nobody else could have put something into it, as sshd does (``StrictModes`` in sshd_config(5)).

A file is trusted if it, each folder on the way to it and each symbolic link on this way belong to root or to the user
who runs this process, and nobody else may write to them. So nobody else can exchange it between the check and the use.

Two things are as in practice, and not as in sshd:

- A folder with the sticky bit, such as ``/tmp``, may be open to all if it is root's or one's own: only the owner of an
  entry can rename or remove it there (unlink(2)), and the entry itself is checked. The default place of the Unix socket
  may be below ``/tmp``.
- A group may write if it is the user's own private group: it has the user's name and no other member.

Symbolic links are followed, because secrets are often such links (Kubernetes), but only those of root and of the user.
The file itself is opened with ``O_NOFOLLOW``."""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Iterable
from pathlib import Path

PathText = str | os.PathLike[str]

SECRET_BYTES = 64 * 1024
"""The longest secret that :func:`read_secret` reads, in bytes."""

_MOST_LINKS = 40
"""Symbolic links on the way to a file, as in Linux (path_resolution(7))."""
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_HAS_OWNERS = hasattr(os, "geteuid")  # Windows has no modes that would mean anything here.


class UntrustedFile(Exception):
    """Somebody else could change a file, or read the secret in it. The message names the path, the fault and the
    remedy."""


def check_file(path: PathText, *, secret: bool = False, group_may_read: bool = False) -> None:
    """Check a file that other code then opens by its path.

    Parameters:
        path: the file. The path is as the user has written it.
        secret: whether nobody else may read the file, either.
        group_may_read: whether its group may read the secret. Without this, a group may read what root has given to it.

    Raises:
        UntrustedFile: somebody else could change it, or read the secret.
        OSError: it is missing, or cannot be reached.
    """
    os.close(open_file(path, secret=secret, group_may_read=group_may_read))


def read_file(path: PathText, *, secret: bool = False, group_may_read: bool = False) -> bytes:
    """Check a file, and return what is in it.

    Parameters:
        path, secret, group_may_read: as of :func:`check_file`.

    Raises:
        UntrustedFile, OSError: as of :func:`check_file`; or the file cannot be read.
    """
    with os.fdopen(open_file(path, secret=secret, group_may_read=group_may_read), "rb") as file:
        return file.read()


def read_secret(path: PathText, *, group_may_read: bool = False) -> str:
    """Check a file with a secret, such as a password, and return the text in it, without the end of its last line.

    Parameters:
        path, group_may_read: as of :func:`check_file`.

    Raises:
        UntrustedFile, OSError: as of :func:`read_file`.
        ValueError: it has more than :data:`SECRET_BYTES`, or is no text in UTF-8.
    """
    with os.fdopen(open_file(path, secret=True, group_may_read=group_may_read), "rb") as file:
        data = file.read(SECRET_BYTES + 1)
    if len(data) > SECRET_BYTES:
        raise ValueError(f"it has more than {SECRET_BYTES} bytes")
    try:
        return data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("it is no text in UTF-8") from None


def open_file(
    path: PathText,
    flags: int = os.O_RDONLY,
    *,
    secret: bool = False,
    group_may_read: bool = False,
    follow: bool = True,
) -> int:
    """Check a file, and open it. No symbolic link is followed that was not checked.

    Parameters:
        path, secret, group_may_read: as of :func:`check_file`.
        flags: of :func:`os.open`. With ``O_CREAT`` a missing file is made with mode 0600.
        follow: whether the file itself may be a symbolic link.

    Returns:
        A descriptor, which children do not inherit.

    Raises:
        UntrustedFile, OSError: as of :func:`check_file`; or the file cannot be opened.
    """
    if not _HAS_OWNERS:
        return os.open(path, flags, 0o600)
    place, is_given = _walk(path)
    if not follow and Path(path).is_symlink():
        raise UntrustedFile(f"{os.fspath(path)}: it is a symbolic link: remove it, or use another path")
    if is_given:  # What the shell has opened for this process, as in --token-file <(pass show token).
        return os.open(place, flags | os.O_CLOEXEC)
    # O_NONBLOCK: to open a named pipe would wait for its writer.
    descriptor = os.open(place, flags | _NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    try:
        info = os.fstat(descriptor)
        if stat.S_ISDIR(info.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        if not stat.S_ISREG(info.st_mode):
            raise UntrustedFile(f"{os.fspath(path)}: it is no regular file: give the path of one")
        _check_owner(info, place, path, _own_uids())
        if secret:
            _check_readers(info, place, path, group_may_read=group_may_read)
        _check_writers(info, place, path)
        os.set_blocking(descriptor, True)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def check_program(path: PathText, *, trusted_uids: Iterable[int] = ()) -> str:
    """Check a file that is to be run. It need not be readable.

    Parameters:
        path: the file.
        trusted_uids: further users who may own the file and the folders on the way to it, such as the user as whom the
            program will run.

    Returns:
        Its path without symbolic links.

    Raises:
        UntrustedFile: somebody else could change it.
        OSError: it is missing, or cannot be reached.
    """
    if not _HAS_OWNERS:
        return os.path.realpath(path)
    owners = _own_uids() | frozenset(trusted_uids)
    place, is_given = _walk(path, owners)
    info = os.lstat(place)
    if is_given or not stat.S_ISREG(info.st_mode):
        raise UntrustedFile(f"{os.fspath(path)}: it is no regular file: give the path of one")
    _check_owner(info, place, path, owners)
    _check_writers(info, place, path)
    return place


def check_folder(path: PathText) -> None:
    """Check a folder, below which files are to be made or used.

    Parameters:
        path: the folder.

    Raises:
        UntrustedFile: somebody else could change what is in it.
        OSError: it is missing, is no folder, or cannot be reached.
    """
    if not _HAS_OWNERS:
        return
    place, _ = _walk(path)
    info = os.lstat(place)
    if not stat.S_ISDIR(info.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(path))
    _check_folder(info, place, path, _own_uids())


def make_folder(path: PathText) -> None:
    """Make a folder with mode 0700, and those above it that are missing, in a folder that is checked before.

    Parameters:
        path: the folder.

    Raises:
        UntrustedFile, OSError: as of :func:`check_folder`; or it cannot be made.
    """
    above = Path(path)
    while above != above.parent and not os.path.lexists(above):
        above = above.parent
    check_folder(above)
    Path(path).mkdir(mode=0o700, parents=True, exist_ok=True)
    check_folder(path)


def _walk(path: PathText, owners: frozenset[int] | None = None) -> tuple[str, bool]:
    """Go to a file from the root, and check each folder and each symbolic link on the way. ``owners`` are the users to
    whom they may belong; ``None`` for root and the user of this process.

    Returns:
        Its path without symbolic links, and whether that is a descriptor that this process has been given.
    """
    text = os.fspath(path)
    if "\0" in text:
        raise ValueError("embedded null byte")
    owners = owners or _own_uids()
    parts = deque(_parts(text if text.startswith("/") else f"{Path.cwd()}/{text}"))
    here, links = "/", 0
    _check_folder(os.lstat(here), here, path, owners)
    while parts:
        part = parts.popleft()
        if part == "..":
            here = here.rpartition("/")[0] or "/"
            continue
        place = f"{'' if here == '/' else here}/{part}"
        if here in (f"/proc/{os.getpid()}/fd", "/dev/fd"):
            return place, True
        try:
            info = os.lstat(place)
        except FileNotFoundError:
            if parts:
                raise
            return place, False  # It may be made.
        if stat.S_ISLNK(info.st_mode):
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), text)
            _check_owner(info, place, path, owners)
            target = str(Path(place).readlink())
            if target.startswith("/"):
                here = "/"
            parts.extendleft(reversed(_parts(target)))
        elif parts:
            if not stat.S_ISDIR(info.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), text)
            _check_folder(info, place, path, owners)
            here = place
        else:
            return place, False
    return here, False


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _own_uids() -> frozenset[int]:
    return frozenset({0, os.geteuid()})


def _check_folder(info: os.stat_result, place: str, path: PathText, owners: frozenset[int]) -> None:
    _check_owner(info, place, path, owners)
    if not info.st_mode & stat.S_ISVTX:
        _check_writers(info, place, path)


def _check_owner(info: os.stat_result, place: str, path: PathText, owners: frozenset[int]) -> None:
    if info.st_uid not in owners:
        # To take a service's own files away from it would stop that service.
        other = "go on as that user, or, if only root needs it, " if os.geteuid() == 0 else ""
        raise UntrustedFile(
            f"{_name(place, path)} belongs to user {info.st_uid}, who could change it: "
            f"{other}run: chown {os.geteuid()} {place}, or use another path"
        )


def _check_writers(info: os.stat_result, place: str, path: PathText) -> None:
    by_group = info.st_mode & stat.S_IWGRP and not _is_private_group(info)
    if info.st_mode & stat.S_IWOTH or by_group:
        raise UntrustedFile(f"{_name(place, path)}: others may write to it: run: chmod go-w {place}")


def _check_readers(info: os.stat_result, place: str, path: PathText, *, group_may_read: bool) -> None:
    # systemd gives a service access to a credential of root by an ACL, which looks like a right of the group. Mounted
    # secrets belong to root and to the group of the container.
    is_given_by_root = info.st_uid == 0 and (info.st_gid != 0 or os.geteuid() != 0)
    others = stat.S_IRWXO if group_may_read or is_given_by_root else stat.S_IRWXO | stat.S_IRWXG
    if info.st_mode & others:
        remedy = f"chmod 600 {place}"
        if info.st_uid == 0 and os.geteuid() != 0:  # With mode 0600 this process could not read it.
            group = "" if info.st_gid in (os.getegid(), *os.getgroups()) else f"chgrp {os.getegid()} {place} && "
            remedy = f"{group}chmod 640 {place}"
        raise UntrustedFile(f"{_name(place, path)}: others may read or change the secret in it: run: {remedy}")


def _name(place: str, path: PathText) -> str:
    """Name the place, and the path that leads through it if that is another one."""
    text = os.fspath(path)
    return place if place == text else f"{text}: {place}"


def _is_private_group(info: os.stat_result) -> bool:
    """Whether the group of a file is the private group of its owner: it has the owner's name, and no other member."""
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(info.st_uid).pw_name, grp.getgrgid(info.st_gid)
    except KeyError:
        return False
    return group.gr_name == user and set(group.gr_mem) <= {user}
