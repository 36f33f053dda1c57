"""Refuses those who have lost a lease and do not know it yet: for services that act for the holder of one."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

from rpcwire.errors import InvalidParams
from rpcwire.group.leases import StaleFencingToken
from rpcwire.trusted_files import make_folder, read_file

MOST_TOKEN = 2**53 - 1
"""The highest number of a lease that every client can hold exactly."""


class Fence:
    """Lets in only whoever shows the highest number of a lease that has been seen so far::

        class Storage(Service):
            async def start(self) -> None:
                self._fence = Fence(self.runtime.state_dir / "fence.json")

            @method(errors=(StaleFencingToken,))
            async def write(self, data: bytes, fencing_token: int) -> None:
                self._fence.admit("nightly", fencing_token)
                ...

    Whatever is done after :meth:`admit` must be done before another call is let in, or be checked again: await nothing
    in between, or hold a lock of your own. Several threads may share one.

    Parameters:
        path: the file in which the highest numbers are kept over restarts, written before a higher one is let in; if
            none is named, they are in memory only, and the first number after a restart is let in, whatever it is.

    Raises:
        OSError, UntrustedFile: the file cannot be read, or somebody else could change it.
        ValueError: it is malformed.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._path = None if path is None else Path(path)
        self._lock = threading.Lock()
        self._highest: dict[str, int] = {}
        if self._path is not None:
            try:
                self._highest = _read(read_file(self._path))
            except FileNotFoundError:
                make_folder(self._path.parent)

    def highest(self, lease: str) -> int:
        """Return the highest number of a lease that has been seen; 0 if none has.

        Parameters:
            lease: the name of the lease.
        """
        return self._highest.get(lease, 0)

    def admit(self, lease: str, fencing_token: int) -> None:
        """Let in whoever holds a lease with this number, and from now on nobody with a lower one.

        Parameters:
            lease: the name of the lease. It is the service's own, and not its callers' to choose.
            fencing_token: the number.

        Raises:
            StaleFencingToken: a higher number has been seen.
            InvalidParams: it is no number of a lease.
            OSError: it cannot be stored. It is not let in.
        """
        if type(fencing_token) is not int or not 0 < fencing_token <= MOST_TOKEN:
            raise InvalidParams(f"fencing_token: the number of the lease {lease!r} is a positive integer")
        with self._lock:
            highest = self._highest.get(lease, 0)
            if fencing_token < highest:
                raise StaleFencingToken(
                    f"the lease {lease!r} was lost: somebody has acted with the later number {highest}",
                    lease=lease,
                    fencing_token=fencing_token,
                    highest=highest,
                )
            if fencing_token > highest:
                numbers = {**self._highest, lease: fencing_token}
                if self._path is not None:
                    _write(self._path, numbers)
                self._highest = numbers


def _read(data: bytes) -> dict[str, int]:
    numbers = json.loads(data)
    if not isinstance(numbers, dict) or not all(type(each) is int and each >= 0 for each in numbers.values()):
        raise ValueError("the file of a fence must hold an object with the highest number of each lease")
    return numbers


def _write(path: Path, numbers: dict[str, int]) -> None:
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(new, flags, 0o600), "w", encoding="utf-8") as file:
        json.dump(numbers, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
