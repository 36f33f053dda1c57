"""The bucket of the broker: an entry for each node, which it writes again and again, and which expires without it.

It is the slow truth: who has just come reads it once, and learns of everybody at once. Nobody watches it, because a
watcher is silent for long after a restart of the broker; and nobody is judged by it.

An entry is written as a raw message with a time to live of its own, because the library can write one only once per
key. The bucket is in memory, with one revision of each key: with more of them, entries live longer than they should.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any

import msgspec

from rpcwire.logs import printable

from .link import Link, LinkSettings
from .making import connect_maker
from .members import Announcement, InvalidGroupMessage, format_id, parse_id, read_announcement
from .messages import decode
from .subjects import BUCKET, EXPORT_OF_ENTRIES, entries_of_all, entry_of

logger = logging.getLogger("rpcserver.group")

REFRESH_S = 5.0
"""How often a node writes its entry, in seconds."""
SPREAD_S = 0.5
"""Over how long nodes spread their first entries after an outage, in seconds."""
MAKE_S = 1.0
"""How long a node at least gives others time to make the bucket, in seconds."""
ENTRY_S = 15
"""How long an entry lives, in whole seconds."""
MARKER_S = 10.0
"""How long the broker keeps the mark of an entry that has expired, in seconds."""
ANSWER_S = 5.0
"""How long the broker may take for an answer, in seconds."""
BATCH = 1000
"""How many entries to read at a time."""
_NUMBER, _SUBJECT, _PENDING = "Nats-Sequence", "Nats-Subject", "Nats-Num-Pending"
"""Headers of entries that the broker has read (NATS ADR-31)."""
_MARKS = frozenset({"KV-Operation", "Nats-Marker-Reason"})
"""Headers of marks of entries that were removed, or have expired."""
_VERSION = "NATS/1.0"
_OTHER_CONFIGURATION = 10058


class Bucket:
    """The bucket, as one node uses it.

    Parameters:
        link: the connection to the broker.
        announcement: returns what this node tells about itself now.
        enter: takes the entries of others, when they have been read for the first time; none, if they cannot be.
        count: returns how many nodes are known.
        maker: how to reach the broker as who makes the bucket at once if it is missing (:func:`.making.connect_maker`);
            ``None`` if this node makes it under its own name, after it has given others time to do it.

    Attributes:
        has_read: whether the entries of others have been read.
    """

    def __init__(
        self,
        link: Link,
        announcement: Callable[[], Announcement],
        enter: Callable[[list[Announcement]], None],
        count: Callable[[], int],
        *,
        maker: Callable[[], LinkSettings] | None = None,
    ) -> None:
        self._maker = maker
        self._link = link
        self._announcement = announcement
        self._enter = enter
        self._count = count
        self._task: asyncio.Task[None] | None = None
        self.has_read = False
        self._problem = ""

    def start(self) -> None:
        """Write this node's own entry from now on: call this when the link is up.

        The first time the entries of all nodes are read. After an outage they are not: a thousand nodes that read a
        thousand entries at the same moment would have the broker send a million messages, and they know each other.
        """
        self.stop()
        self._task = asyncio.ensure_future(self._keep())

    def stop(self) -> None:
        """Write nothing more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def remove(self) -> None:
        """Remove this node's entry, because it leaves."""
        self.stop()
        try:
            await self._write(b"", {"KV-Operation": "DEL", "Nats-TTL": f"{ENTRY_S}"})
        except Exception as exc:  # It expires by itself.
            logger.debug("the entry of this node stays in the bucket until it expires: %s", exc)

    async def _keep(self) -> None:
        if self.has_read and self._maker is None:
            # All nodes come back at the same moment, and should not write at the same one.
            await asyncio.sleep(random.random() * SPREAD_S)  # noqa: S311 - no secret
        while True:
            try:
                await self._write_or_make()
                if not self.has_read:
                    # Of a thousand nodes that start at the same moment each has heard the others already.
                    is_news = (await self._ask(1, 1))[1] >= self._count()
                    self._enter(await self._read() if is_news else [])
                    self.has_read = True
                self._problem = ""
            except Exception as exc:  # The library raises what it likes.
                self._report(exc)
                if not self.has_read:
                    self._enter([])
            await asyncio.sleep(REFRESH_S)

    async def _write_or_make(self) -> None:
        """Write this node's entry. Make the bucket, if it is missing and stays so."""
        if await self._write_own():
            return
        if self._maker is None:
            await asyncio.sleep(MAKE_S * (1 + random.random()))  # noqa: S311 - no secret
            if await self._write_own():
                return
        await self._make()
        await self._write_own()

    async def _write_own(self) -> bool:
        """Write this node's entry, and return whether there is a bucket for it."""
        from nats.js.errors import NoStreamResponseError, NotFoundError

        try:
            await self._write(msgspec.msgpack.encode(self._announcement().to_wire()), {"Nats-TTL": f"{ENTRY_S}"})
        except (NoStreamResponseError, NotFoundError):
            return False
        return True

    def _report(self, exc: Exception) -> None:
        text = printable(f"{type(exc).__name__}: {exc}", 300)
        if text != self._problem and self._link.is_up:
            self._problem = text
            logger.warning(
                "the bucket %s of the broker cannot be used: %s; nodes find each other without it, more slowly",
                BUCKET,
                text,
            )

    async def _write(self, data: bytes, headers: dict[str, str]) -> None:
        stream = self._link.connection.jetstream(timeout=ANSWER_S)
        await stream.publish(entry_of(self._link.own), data, headers=headers)

    async def _make(self) -> None:
        from nats.js.api import KeyValueConfig, StorageType
        from nats.js.errors import BadRequestError

        configuration: Any = KeyValueConfig(
            bucket=BUCKET,
            description="the nodes of a group of remote-services",
            history=1,
            storage=StorageType.MEMORY,
            direct=True,
            limit_marker_ttl=MARKER_S,
        )
        try:
            async with connect_maker(self._link, self._maker) as connection:
                await connection.jetstream(timeout=ANSWER_S).create_key_value(configuration)
        except BadRequestError as exc:
            if exc.err_code != _OTHER_CONFIGURATION:
                raise
            logger.warning(
                "the bucket %s exists with another configuration than history 1, storage in memory and a marker TTL "
                "of %g s: it is used as it is",
                BUCKET,
                MARKER_S,
            )

    async def _read(self) -> list[Announcement]:
        entries, number, rest = [], 1, 1
        while rest:
            answers, rest = await self._ask(number, BATCH)
            for headers, data in answers:
                number = int(headers[_NUMBER]) + 1
                key = headers[_SUBJECT].rpartition(".")[2]
                if not data or _MARKS & headers.keys() or key == format_id(self._link.own):
                    continue
                try:
                    entries.append(read_announcement(parse_id(key), decode(data)))
                except InvalidGroupMessage as exc:
                    logger.debug("an entry in the bucket is left out: %s", exc)
        return entries

    async def _ask(self, number: int, count: int) -> tuple[list[tuple[dict[str, str], bytes]], int]:
        """Ask for entries in the order in which they were written (NATS ADR-31, batched direct get).

        Parameters:
            number: the number of the first one.
            count: the most entries.

        Returns:
            The headers and the data of the entries, and how many there are after them.
        """
        loop = asyncio.get_running_loop()
        answers: list[tuple[dict[str, str], bytes]] = []
        end: asyncio.Future[int] = loop.create_future()

        def take(headers: bytes, data: bytes) -> None:
            if end.done():
                return
            status, fields = _read_headers(headers)
            match status:
                case "":
                    answers.append((fields, data))
                    limit.reschedule(loop.time() + ANSWER_S)
                case "204":  # The end.
                    end.set_result(int(fields[_PENDING]))
                case "404":  # There is none.
                    end.set_result(0)
                case _:
                    end.set_exception(ConnectionError(f"the broker has no entries for this node: {status}"))

        request = msgspec.json.encode({"seq": number, "batch": count, "next_by_subj": entries_of_all()})
        with self._link.open_inbox(take) as inbox:
            async with asyncio.timeout(ANSWER_S) as limit:
                await self._link.connection.publish(EXPORT_OF_ENTRIES, request, reply=inbox)
                return answers, await end


def _read_headers(data: bytes) -> tuple[str, dict[str, str]]:
    """Return the status of a message, empty if it has none, and its headers (NATS ADR-4)."""
    first, *lines = data.decode(errors="replace").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return first[len(_VERSION) :].strip()[:3], {name: text.strip() for name, _, text in pairs}
