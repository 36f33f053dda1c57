"""Where the leases of a server without a group are stored: in its memory, and in a file in its state folder.

The file is written before a lease is granted, and after it was given back. A renewal changes nothing in it: after a
restart each lease counts as seen for the first time, so its holder has all its time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from rpcwire.errors import Busy, Unavailable
from rpcwire.trusted_files import UntrustedFile, make_folder, read_file

from .lease_entries import Conflict, Entry, Record

LEASES = "leases.json"
"""The file in the group's folder of the state."""
MOST_ENTRIES = 10_000
"""How many leases a server without a group knows. Those that nobody holds are forgotten first."""


class FileStore:
    """The leases of one server.

    Parameters:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[str, Record] = {}
        self._has_read = False
        self._lock = asyncio.Lock()
        self._listeners: dict[str, set[Callable[[], None]]] = {}

    async def read(self, key: str) -> Record:
        """Return what is stored of a lease.

        Parameters:
            key: its key.

        Raises:
            Unavailable: the file cannot be used.
        """
        async with self._lock:
            await self._load()
        return self._entries.get(key, Record(0, None))

    async def write(self, key: str, entry: Entry, revision: int) -> int:
        """Store an entry, and return the number of this change.

        Parameters:
            key: the key of the lease.
            entry: what to store.
            revision: the number of the change that it replaces.

        Raises:
            Conflict: there has been another change since.
            Busy: there are too many leases.
            Unavailable: the file cannot be used.
        """
        async with self._lock:
            await self._load()
            old = self._entries.get(key, Record(0, None))
            if old.revision != revision:
                raise Conflict
            entries = {**self._entries, key: Record(revision + 1, entry)}
            if len(entries) > MOST_ENTRIES:
                forgettable = next((k for k, each in entries.items() if each.entry and not each.entry.id), None)
                if forgettable is None or forgettable == key:
                    raise Busy(f"this server keeps at most {MOST_ENTRIES} leases: give some back", executed="no")
                del entries[forgettable]
            if old.entry is None or old.entry.id != entry.id:
                await asyncio.to_thread(self._save, entries)
            self._entries = entries
        for call in tuple(self._listeners.get(key, ())):
            call()
        return revision + 1

    @asynccontextmanager
    async def listening(self, key: str, call: Callable[[], None]) -> AsyncIterator[None]:
        """Call a function after each change of a lease, within the ``with`` block.

        Parameters:
            key: the key of the lease.
            call: the function.
        """
        self._listeners.setdefault(key, set()).add(call)
        try:
            yield
        finally:
            self._listeners[key].discard(call)
            if not self._listeners[key]:
                del self._listeners[key]

    async def _load(self) -> None:
        if self._has_read:
            return
        try:
            text = await asyncio.to_thread(read_file, self._path)
            entries = msgspec.json.decode(text, type=dict[str, Entry])
        except FileNotFoundError:
            entries = {}
        except (OSError, UntrustedFile, msgspec.MsgspecError) as exc:
            raise Unavailable(f"the leases in {self._path} cannot be read: {exc}", executed="no") from exc
        self._entries = {key: Record(1, entry) for key, entry in entries.items()}
        self._has_read = True

    def _save(self, entries: dict[str, Record]) -> None:
        path = self._path
        new = path.with_name(f"{path.name}.new")
        data = msgspec.json.format(msgspec.json.encode({key: each.entry for key, each in entries.items()}), indent=1)
        try:
            make_folder(path.parent)
            new.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(new, flags, 0o600), "wb") as file:
                file.write(data + b"\n")
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except (OSError, UntrustedFile) as exc:
            raise Unavailable(f"the leases in {path} cannot be written: {exc}", executed="no") from exc
