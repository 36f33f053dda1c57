"""The connections of one database, in two pools. The links of one pool may write; on those of the other the database
itself refuses every change.

SQLAlchemy takes more than half of the time in which a server starts, and a third of its memory. So it is loaded with
the first connection of an embedded database, or in the background when the server takes calls.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rpcwire.pool import share_of

from .backends.base import Link, log
from .config import DatabaseConfig, database_url, embedded_file
from .errors import DatabaseOperationalError
from .failures import connection_failure

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

_ANSWER_FIRST_S = 0.001
"""A pause before a link is cleaned, so that the answer of the call that used it leaves first."""

_TRUSTED_S = 30.0
"""A link that was idle for longer must answer a ping before it is lent."""


def link_class(url: URL) -> type[Link]:
    """The class of links for a URL.

    Raises:
        ValueError: no such dialect, or its driver is not installed; the message names it.
    """
    driver = url.get_driver_name()
    if driver == "aiosqlite":
        from rpcservices.database.backends.sqlite.link import SqliteLink

        return SqliteLink
    if driver == "psycopg":
        from rpcservices.database.backends.postgresql.link import PostgresLink

        return PostgresLink
    if driver == "asyncmy":
        from rpcservices.database.backends.mysql.link import MysqlLink

        return MysqlLink
    from .backends.generic import GenericLink

    dialect = url.get_dialect()
    if not dialect.is_async:
        raise ValueError(f"url: {url.drivername} is not asynchronous: name a driver that is, as in postgresql+asyncpg")
    members = {"dialect": url.get_backend_name(), "paramstyle": getattr(dialect, "default_paramstyle", "qmark")}
    return type("OtherLink", (GenericLink,), members)


@dataclass(frozen=True, slots=True)
class Connecting:
    """How the links of a pool are made.

    Attributes:
        links: their class.
        engine: SQLAlchemy's engine.
        arguments: the arguments of the driver.
    """

    links: type[Link]
    engine: AsyncEngine
    arguments: dict[str, Any]


class Pool:
    """A limited number of links of one kind to one database. If a caller is cancelled while a link is made, making it
    goes on and the next caller gets it: a driver that is cancelled while it connects may lose the connection, or the
    cancellation.

    Parameters:
        find_url: returns the database to connect to.
        config: the database's configuration.
        readonly: whether its links refuse every change.
    """

    def __init__(self, find_url: Callable[[], URL], config: DatabaseConfig, *, readonly: bool) -> None:
        self._config = config
        self._readonly = readonly
        self._find_url = find_url
        self._connecting: Connecting | None = None
        self._connecting_lock = threading.Lock()
        self._free_places = config.read_pool_size if readonly else config.pool_size
        self._share = share_of(self._free_places, config.pool_share)
        self._idle: list[Link] = []
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._lent: Counter[str] = Counter()
        self._closed = False

    def prepare(self) -> Connecting:
        """Load what connecting needs, and make the engine, if that has not happened yet. Any thread may call this.

        Raises:
            ValueError: the URL cannot work; the message names it.
            NoSuchModuleError: SQLAlchemy knows no such dialect.
            ImportError: the driver is not installed.
        """
        with self._connecting_lock:
            if self._connecting is None:
                from sqlalchemy import NullPool
                from sqlalchemy.ext.asyncio import create_async_engine

                url = self._find_url()
                links = link_class(url)
                url, arguments = links.engine_options(url, self._config, readonly=self._readonly)
                engine = create_async_engine(url, connect_args=arguments, poolclass=NullPool)
                links.teach(engine.dialect)
                _, from_url = engine.dialect.create_connect_args(url)
                self._connecting = Connecting(links, engine, {**from_url, **arguments})
            return self._connecting

    @property
    def engine(self) -> Engine:
        """SQLAlchemy's engine for the connections; it knows the dialect."""
        return self.prepare().engine.sync_engine

    @property
    def lent_count(self) -> int:
        """The number of links that are lent or being cleaned."""
        return self._lent.total()

    @property
    def idle_count(self) -> int:
        """The number of links at rest."""
        return len(self._idle)

    @property
    def waiting_count(self) -> int:
        """The number of callers who wait for a link."""
        return sum(map(len, self._waiting.values()))

    async def acquire(self, holder: str) -> Link:
        """Lend a link: the one that was used last, if there is one.

        Parameters:
            holder: the name of the principal for whom it is.

        Raises:
            DatabaseError: no link became free in time, or no connection can be made.
        """
        while True:
            lent = self._lent.get(holder, 0)
            if lent >= self._share:
                await self._wait(holder)
                continue
            if self._idle:
                link = self._idle.pop()
                link.holder = holder
                self._lent[holder] = lent + 1
                now = time.monotonic()
                if now - link.made_at > self._config.connection_max_age_s:
                    link.is_broken = True  # It does not have settings that new connections have got since.
                    self.release(link)
                    continue
                fresh = now - link.idle_since < _TRUSTED_S
                if (link.is_ready() and fresh) or await self._answers(link, fresh=fresh):
                    link.is_just_lent = True
                    return link
                continue
            if self._free_places:
                self._free_places -= 1
                self._lent[holder] = lent + 1
                task = asyncio.ensure_future(self._connect(holder))
                try:
                    return await asyncio.shield(task)
                except asyncio.CancelledError:
                    self._watch(self._pass_on(task))
                    raise
            await self._wait(holder)

    async def _wait(self, holder: str) -> None:
        place = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(holder, deque()).append(place)
        try:
            async with asyncio.timeout(self._config.pool_timeout_s):
                await place
        except TimeoutError:
            if place.done() and not place.cancelled():
                self._wake()
            size = "read_pool_size" if self._readonly and not self._config.readonly else "pool_size"
            remedy = f"try again, or raise {size}"
            if self._lent[holder] >= self._share:
                remedy = f"your statements hold {self._share}, and may hold no more: end some, or raise {size}"
            raise DatabaseOperationalError(
                f"no connection was free within {self._config.pool_timeout_s:g} s: {remedy}",
                retryable=True, executed="no",
            ) from None  # fmt: skip
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._wake()  # This one was woken and cancelled at once: wake the next one.
            raise

    def _wake(self) -> None:
        """Wake one that waits: of the principals who may hold another link, one of whoever holds the fewest."""
        for holder in sorted(self._waiting, key=self._lent.__getitem__):
            places = self._waiting[holder]
            while places and places[0].done():
                places.popleft()
            if not places:
                del self._waiting[holder]
            elif self._lent[holder] < self._share:
                places.popleft().set_result(None)
                return

    def _take_back(self, holder: str) -> None:
        lent = self._lent.pop(holder)
        if lent > 1:
            self._lent[holder] = lent - 1
        if self._waiting:
            self._wake()

    async def _answers(self, link: Link, *, fresh: bool) -> bool:
        """Whether a link that was idle for long, or is not ready yet, still works. If not, its place becomes free."""
        try:
            async with asyncio.timeout(self._config.connect_timeout_s):
                await (link.regain() if fresh else link.ping())
        except Exception:
            link.is_broken = True
        except BaseException:
            link.is_broken = True
            self.release(link)
            raise
        if link.is_broken:
            await self._discard(link)
        return not link.is_broken

    async def _connect(self, holder: str) -> Link:
        connection = None
        try:
            connecting = self._connecting
            if connecting is None:
                connecting = await asyncio.to_thread(self.prepare)
            connection = await connecting.engine.raw_connection()
            link = connecting.links(connection, self._config, readonly=self._readonly)
            link.connect_arguments = connecting.arguments
            link.holder = holder
            await link.prepare()
        except BaseException as exc:
            if connection is not None:
                await _run_in_greenlet(connection.invalidate)
            self._vacate(holder)
            if isinstance(exc, Exception):
                raise connection_failure(exc) from None
            raise
        return link

    async def _pass_on(self, task: asyncio.Future[Link]) -> None:
        try:
            link = await task
        except Exception as exc:
            log.debug("a connection that nobody waits for any more was not made: %s", type(exc).__name__)
        else:
            self.release(link)

    def release(self, link: Link) -> None:
        """Take a link back. It is cleaned, or discarded if its state is unknown; both go on in the background."""
        if link.is_broken or link.must_reset() or self._closed:
            self._watch(self._clean(link))
        else:
            self._put_back(link)

    def _put_back(self, link: Link) -> None:
        link.idle_since = time.monotonic()
        self._idle.append(link)
        self._take_back(link.holder)

    def _vacate(self, holder: str) -> None:
        self._free_places += 1
        self._take_back(holder)

    async def _clean(self, link: Link) -> None:
        if not self._waiting and not self._closed:
            await asyncio.sleep(_ANSWER_FIRST_S)
        if not link.is_broken and not self._closed:
            try:
                async with asyncio.timeout(self._config.connect_timeout_s):
                    await link.reset()
            except Exception as exc:
                log.info("a connection could not be cleaned and is discarded: %s", type(exc).__name__)
                link.is_broken = True
        if link.is_broken or self._closed:
            await self._discard(link)
        else:
            self._put_back(link)

    async def _discard(self, link: Link) -> None:
        try:
            await _run_in_greenlet(link.connection.invalidate)
        except Exception as exc:
            log.info("a connection could not be closed: %s", type(exc).__name__)
        self._vacate(link.holder)

    def _watch(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    @asynccontextmanager
    async def link(self, holder: str) -> AsyncIterator[Link]:
        """Lend a link for a ``with`` block.

        Parameters:
            holder: the name of the principal for whom it is.
        """
        link = await self.acquire(holder)
        try:
            yield link
        finally:
            self.release(link)

    async def wait_idle(self) -> None:
        """Wait until no link is being made or cleaned."""
        while self._background:
            await asyncio.wait(set(self._background))

    async def close(self) -> None:
        """Close all connections; those that are lent close when they come back."""
        self._closed = True
        await self.wait_idle()
        while self._idle:
            link = self._idle.pop()
            self._lent[link.holder] += 1
            await self._discard(link)
        if self._connecting is not None:
            await self._connecting.engine.dispose()


async def _run_in_greenlet(function: Callable[[], None]) -> None:
    """Call a function of SQLAlchemy's that waits in the middle of other functions."""
    from sqlalchemy.util import greenlet_spawn

    await greenlet_spawn(function)


class NoFile(Exception):
    """The file of an embedded database cannot be made, or is no database.

    Attributes:
        file: its path.
        cause: what the driver or the system has said.
    """

    def __init__(self, file: str, cause: Exception) -> None:
        super().__init__(f"{cause}: {file}")
        self.file = file
        self.cause = cause


def _make_file(file: str, *, is_new_only: bool = False) -> None:
    from .backends.sqlite.files import create_embedded

    try:
        if not (is_new_only and Path(file).exists()):
            create_embedded(file)
    except Exception as exc:
        raise NoFile(file, exc) from exc


class Target:
    """One configured database.

    Parameters:
        name: what clients call it.
        config: its configuration.
        state_dir: where embedded files live.
        secrets_dir: where passwords lie, each in a file of its database's name.

    Raises:
        ValueError: the configuration cannot work; the message names the key.

    Attributes:
        url: the URL to connect to, with the password; ``None`` for an embedded file that needs none.
        withdrawn: why no transaction may begin any more; empty if one may.
    """

    def __init__(self, name: str, config: DatabaseConfig, state_dir: Path, secrets_dir: Path | None = None) -> None:
        self.name = name
        self.config = config
        self.url: URL | None = None
        self.withdrawn = ""
        self._file: str | None = None
        find_url = partial(database_url, name, config, state_dir, secrets_dir)
        self.reading = Pool(find_url, config, readonly=True)
        self.writing = self.reading if config.readonly else Pool(find_url, config, readonly=False)
        if not (config.url.get_secret_value() or config.password_file or config.password_env):
            file = str(embedded_file(name, state_dir))
            self._file = None if config.readonly else file
            self.dialect, self.driver = "sqlite", "aiosqlite"
            return
        self._check(find_url())

    def _check(self, url: URL) -> None:
        """Make sure that a configured URL can work. That needs SQLAlchemy."""
        from sqlalchemy.exc import NoSuchModuleError

        name, config, self.url = self.name, self.config, url
        if not (config.url.get_secret_value() or config.readonly):
            self._file = url.database
        self.dialect = url.get_backend_name()
        try:
            self.driver = url.get_driver_name()
            if config.attached and self.driver != "aiosqlite":
                raise ValueError("attached: only SQLite attaches files")
            self.prepare()
        except NoSuchModuleError:
            raise ValueError(f"databases.{name}.url: SQLAlchemy knows no dialect {url.drivername!r}") from None
        except ImportError as exc:
            raise ValueError(f"databases.{name}.url: the driver of {url.drivername} is not installed: {exc}") from None
        except ValueError as exc:
            raise ValueError(f"databases.{name}.{exc}") from None

    def fits(self, config: DatabaseConfig, state_dir: Path, secrets_dir: Path | None) -> bool:
        """Return whether a database made now would be the same. Its password may have changed in its file. Any thread
        may call this.

        Parameters:
            config, state_dir, secrets_dir: as of the class.

        Raises:
            ValueError: there is no password.
        """
        if config != self.config:
            return False
        return self.url is None or self.url == database_url(self.name, config, state_dir, secrets_dir)

    def prepare(self) -> None:
        """Load what connecting needs. Any thread may call this."""
        self.reading.prepare()
        self.writing.prepare()

    def make_files(self) -> None:
        """Make the files of an embedded database, or look whether they are databases. A server is first asked when a
        client uses its database. Any thread may call this.

        Raises:
            NoFile: a file cannot be made, or is no database.
        """
        if self._file is not None:
            _make_file(self._file)
        if not self.config.readonly:
            for file in self.config.attached.values():
                _make_file(str(file), is_new_only=True)

    async def try_connection(self) -> None:
        """Connect, unless the database is an embedded file that does not exist yet.

        Raises:
            DatabaseError: no connection can be made; the message says why.
        """
        if self._exists():
            async with self.reading.link("check") as link:
                await link.ping()

    def _exists(self) -> bool:
        """Whether the database exists, as far as can be told without connecting."""
        return self._file is None or Path(self._file).exists()

    def pool(self, *, readonly: bool) -> Pool:
        """The pool for statements that only read, or that may write."""
        return self.reading if readonly else self.writing

    @property
    def is_in_use(self) -> bool:
        """Whether a connection is lent or being cleaned."""
        return bool(self.reading.lent_count or self.writing.lent_count)

    async def close(self) -> None:
        """Close all connections; those that are lent close when they come back. It may be called again."""
        await close_all(self.reading.close(), *([] if self.writing is self.reading else [self.writing.close()]))


async def close_all(*work: Coroutine[Any, Any, None]) -> None:
    """Run several closing operations, each to its end, even if others fail."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            log.info("closing a database failed: %s", type(result).__name__)
