"""Where the leases of a group are stored: in a bucket of the broker, on its disk, three times in a cluster.

A change is accepted only if the entry is still the one that was read, and is told only when it is stored. What others
have changed the bucket publishes again, on a subject of its own: so nobody needs a watcher, and only changes that were
accepted wake those who wait.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from rpcwire.errors import Unavailable
from rpcwire.logs import printable

from .lease_entries import Conflict, Entry, Record
from .link import Link, LinkSettings, NoBroker
from .making import connect_maker
from .subjects import LEASE_BUCKET, LEASE_STREAM, lease_entry_of, lease_news_of

if TYPE_CHECKING:
    from nats.aio.msg import Msg

logger = logging.getLogger("rpcserver.group")

ANSWER_S = 3.0
"""How long the broker may take for an answer, in seconds."""
KEEP_S = 7 * 86400
"""How long an entry is kept after its last change, in seconds, so that its number is known."""
MOST_BYTES = 64 << 20
"""How much the bucket may hold, in bytes."""
SPREAD_S = 2.0
"""Over how long nodes spread their looks whether there is a bucket, in seconds."""
_OTHER_CONFIGURATION, _NO_CLUSTER = 10058, 10074
_WRONG_REVISIONS = frozenset({10071, 10164})
_EXPECTED = "Nats-Expected-Last-Subject-Sequence"


class BucketStore:
    """The leases of a group.

    Parameters:
        link: the connection to the broker.
        maker: how to reach the broker as who makes the bucket at once if it is missing (:func:`.making.connect_maker`);
            ``None`` if this node makes it under its own name.
    """

    def __init__(self, link: Link, *, maker: Callable[[], LinkSettings] | None = None) -> None:
        self._link = link
        self._maker = maker
        self._exists = False
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Make the bucket soon, if it is missing and this node may: call this when the link is up."""
        if not self._exists:
            self.stop()
            self._task = asyncio.ensure_future(self._look())

    def stop(self) -> None:
        """Make no bucket any more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _look(self) -> None:
        try:
            if self._maker is None:
                await asyncio.sleep(SPREAD_S * (1 + random.random()))  # noqa: S311 - no secret
            await self.read("0")
        except Exception as exc:  # Whoever needs it is told.
            logger.debug("the bucket %s cannot be used yet: %s", LEASE_BUCKET, exc)

    async def read(self, key: str) -> Record:
        """Return what is stored of a lease. In a cluster it may be a little old; then nothing can be written on it.

        Parameters:
            key: its key.

        Raises:
            Unavailable: the broker does not answer, or has no bucket.
        """
        from nats.errors import NoRespondersError
        from nats.js.errors import NotFoundError

        life = self._link.starts
        stream = self._link.connection.jetstream(timeout=ANSWER_S)
        for has_tried in (False, True):
            try:
                message = await stream.get_msg(LEASE_STREAM, subject=lease_entry_of(key), direct=True)
                self._exists = True
                return Record(message.seq or 0, _decode(message.data), life)
            except NotFoundError:
                self._exists = True
                return Record(0, None, life)
            except NoRespondersError:
                if has_tried or self._exists:  # It is there: its leader is being chosen.
                    raise _no_bucket("the broker has nobody who answers for it") from None
                await self._make()
            except Exception as exc:  # The library raises what it likes.
                raise self._lost(exc) from exc
        raise AssertionError("unreachable")

    async def write(self, key: str, entry: Entry, revision: int) -> int:
        """Store an entry, and return the number of this change.

        Parameters:
            key: the key of the lease.
            entry: what to store.
            revision: the number of the change that it replaces.

        Raises:
            Conflict: there has been another change since.
            Unavailable: the broker has not said that it is stored. Perhaps it is.
        """
        from nats.js.errors import APIError

        stream = self._link.connection.jetstream(timeout=ANSWER_S)
        headers = {_EXPECTED: str(revision), "Nats-TTL": str(int(entry.ttl_s) + KEEP_S)}
        try:
            done = await stream.publish(lease_entry_of(key), msgspec.json.encode(entry), headers=headers)
        except APIError as exc:
            if exc.err_code in _WRONG_REVISIONS:
                raise Conflict from None
            raise self._lost(exc) from exc
        except Exception as exc:
            raise self._lost(exc) from exc
        return done.seq

    @asynccontextmanager
    async def listening(self, key: str, call: Callable[[], None]) -> AsyncIterator[None]:
        """Call a function after each change of a lease, within the ``with`` block.

        After an outage it is not called any more. Whoever waits looks now and then, anyway.

        Parameters:
            key: the key of the lease.
            call: the function.
        """

        async def take(message: Msg) -> None:
            del message
            call()

        subscription: Any = None
        try:
            subscription = await self._link.connection.subscribe(lease_news_of(key), cb=take)
        except Exception as exc:
            logger.debug("changes of a lease are not heard: %s", exc)
        try:
            yield
        finally:
            if subscription is not None:
                try:
                    await subscription.unsubscribe()
                except Exception as exc:  # The connection has ended, and the subscription with it.
                    logger.debug("a subscription has ended: %s", exc)

    async def _make(self) -> None:
        from nats.js.api import DiscardPolicy, RePublish, StorageType, StreamConfig
        from nats.js.errors import APIError

        for replicas in (3, 1):
            configuration = StreamConfig(
                name=LEASE_STREAM,
                description="the leases of a group of remote-services",
                subjects=[lease_entry_of(">")],
                max_msgs_per_subject=1,
                max_bytes=MOST_BYTES,
                discard=DiscardPolicy.NEW,
                storage=StorageType.FILE,
                num_replicas=replicas,
                allow_direct=True,
                deny_delete=True,
                deny_purge=True,
                allow_msg_ttl=True,
                republish=RePublish(src=lease_entry_of(">"), dest=lease_news_of(">"), headers_only=True),
            )
            try:
                async with connect_maker(self._link, self._maker) as connection:
                    await connection.jetstream(timeout=ANSWER_S).add_stream(configuration)
            except APIError as exc:
                if exc.err_code == _NO_CLUSTER:
                    continue
                if exc.err_code != _OTHER_CONFIGURATION:
                    raise _no_bucket(printable(f"{exc.description}", 300)) from exc
            except Exception as exc:
                raise _no_bucket(f"this node cannot make it ({printable(repr(exc), 300)})") from exc
            return

    def _lost(self, exc: Exception) -> Unavailable:
        if isinstance(exc, Unavailable):
            return exc
        if not self._link.is_up:
            return NoBroker(f"the group's broker was lost: {printable(repr(exc), 300)}", executed="unknown")
        return Unavailable(f"the group's broker: {printable(repr(exc), 300)}", executed="unknown")


def _no_bucket(reason: str) -> Unavailable:
    return Unavailable(
        f"the bucket {LEASE_BUCKET} of the group's broker cannot be used: {reason}; docs/group-operations.md says who "
        "makes it",
        executed="no",
    )


def _decode(data: bytes | None) -> Entry | None:
    if not data:  # The mark of an entry that somebody has deleted: not with the bucket as it is made here.
        return None
    try:
        return msgspec.json.decode(data, type=Entry)
    except msgspec.MsgspecError as exc:
        raise Unavailable(f"an entry of the bucket {LEASE_BUCKET} is malformed: {exc}", executed="no") from exc
