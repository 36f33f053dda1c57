"""The connections of one database, in two pools: one whose links the database itself keeps from writing, and one whose
links may write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, NullPool
from sqlalchemy.exc import NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import greenlet_spawn

from .backends.base import Link, finish, log
from .config import DatabaseConfig, database_url
from .failures import translate_error


def link_class(url: URL) -> type[Link]:
    """The class of links for a URL.

    Raises:
        ValueError: no such dialect, or its driver is not installed; the message names it.
    """
    driver = url.get_driver_name()
    if driver == "aiosqlite":
        from .backends.sqlite import SqliteLink

        return SqliteLink
    if driver == "psycopg":
        from .backends.postgresql import PostgresLink

        return PostgresLink
    if driver == "asyncmy":
        from .backends.mysql import MysqlLink

        return MysqlLink
    from .backends.generic import GenericLink

    dialect = url.get_dialect()
    if not dialect.is_async:
        raise ValueError(f"url: {url.drivername} is not asynchronous: name a driver that is, as in postgresql+asyncpg")
    members = {"dialect": url.get_backend_name(), "paramstyle": getattr(dialect, "default_paramstyle", "qmark")}
    return type("OtherLink", (GenericLink,), members)


class Pool:
    """Links of one kind to one database.

    Parameters:
        url: where to connect.
        config: the database's configuration.
        readonly: whether its links refuse every change.
    """

    def __init__(self, url: URL, config: DatabaseConfig, *, readonly: bool) -> None:
        self._config = config
        self._readonly = readonly
        self._links = link_class(url)
        url, arguments = self._links.engine_options(url, config, readonly=readonly)
        size = config.read_pool_size if readonly else config.pool_size
        self.engine: AsyncEngine = create_async_engine(
            url,
            connect_args=arguments,
            pool_size=size,
            max_overflow=0,
            pool_timeout=config.pool_timeout_s,
            pool_reset_on_return=None,  # A link knows better what is to be undone.
            pool_use_lifo=True,
        )
        _, known = self.engine.dialect.create_connect_args(url)
        self._connect_arguments = {**known, **arguments}
        self._resetting: set[asyncio.Task[None]] = set()

    async def acquire(self) -> Link:
        """Lend a link.

        Raises:
            DatabaseError: no connection is free in time, or none can be made.
        """
        # Drivers lose connections, or the cancellation itself, when they are cancelled while they connect.
        task = asyncio.ensure_future(self._acquire())
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._watch(asyncio.ensure_future(self._give_back(task)))
            raise

    async def _give_back(self, task: asyncio.Future[Link]) -> None:
        try:
            link = await task
        except Exception as exc:
            log.debug("a connection that nobody waits for any more was not made: %s", type(exc).__name__)
        else:
            await self.release(link)

    async def _acquire(self) -> Link:
        try:
            connection = await self.engine.raw_connection()
        except Exception as exc:
            raise translate_error(exc) from None
        link: Link | None = connection.info.get("link")
        try:
            if link is None:
                link = self._links(connection, self._config, readonly=self._readonly)
                link.connect_arguments = self._connect_arguments
                await link.prepare()
                connection.info["link"] = link
            link.connection = connection
        except BaseException as exc:
            await finish(greenlet_spawn(connection.invalidate))
            if isinstance(exc, Exception):
                raise translate_error(exc) from None
            raise
        return link

    async def release(self, link: Link) -> None:
        """Take a link back: clean, or discarded where that is not certain. Cleaning goes on in the background."""
        if not link.broken and not link.must_reset():
            await greenlet_spawn(link.connection.close)
            return
        self._watch(asyncio.ensure_future(self._reset(link)))

    def _watch(self, task: asyncio.Task[None]) -> None:
        self._resetting.add(task)
        task.add_done_callback(self._resetting.discard)

    async def _reset(self, link: Link) -> None:
        try:
            if not link.broken:
                async with asyncio.timeout(self._config.connect_timeout_s):
                    await link.reset()
        except Exception as exc:
            log.info("a connection could not be cleaned and is discarded: %s", type(exc).__name__)
            link.broken = True
        try:
            await greenlet_spawn(link.connection.invalidate if link.broken else link.connection.close)
        except Exception as exc:
            log.info("a connection could not be closed: %s", type(exc).__name__)

    @asynccontextmanager
    async def link(self) -> AsyncIterator[Link]:
        """Lend a link for a ``with`` block."""
        link = await self.acquire()
        try:
            yield link
        finally:
            await finish(self.release(link))

    async def settle(self) -> None:
        """Wait until no link is being cleaned."""
        while self._resetting:
            await asyncio.wait(set(self._resetting))

    async def close(self) -> None:
        """Close all connections that are not lent."""
        await self.settle()
        await self.engine.dispose()


class Target:
    """One configured database.

    Parameters:
        name: what clients call it.
        config: its configuration.
        state_dir: where embedded files live.

    Raises:
        ValueError: the configuration cannot work; the message names the key.
    """

    def __init__(self, name: str, config: DatabaseConfig, state_dir: Path) -> None:
        self.name = name
        self.config = config
        url = database_url(name, config, state_dir)
        self._embedded = None if config.url.get_secret_value() or config.readonly else url.database
        self.dialect = url.get_backend_name()
        try:
            self.driver = url.get_driver_name()
            # Links set their connections up in their own way; the inspector needs them as SQLAlchemy does.
            self.inspecting = create_async_engine(url, poolclass=NullPool)
            self.reading = Pool(url, config, readonly=True)
            self.writing = self.reading if config.readonly else Pool(url, config, readonly=False)
        except NoSuchModuleError:
            raise ValueError(f"databases.{name}.url: SQLAlchemy knows no dialect {url.drivername!r}") from None
        except ImportError as exc:
            raise ValueError(f"databases.{name}.url: the driver of {url.drivername} is not installed: {exc}") from None
        except ValueError as exc:
            raise ValueError(f"databases.{name}.{exc}") from None

    async def open(self) -> None:
        """Make the file of an embedded database. Servers are first asked when a client asks for them.

        Raises:
            ValueError: it cannot be made; the message says why.
        """
        if self._embedded is not None:
            from .backends.sqlite import create_embedded

            try:
                await asyncio.to_thread(create_embedded, self._embedded)
            except Exception as exc:
                raise ValueError(f"databases.{self.name}: {exc}: {self._embedded}") from None

    def pool(self, *, readonly: bool) -> Pool:
        """The pool for statements that only read, or that may write."""
        return self.reading if readonly else self.writing

    async def close(self) -> None:
        """Close all connections."""
        await close_all(self.reading.close(), *([] if self.writing is self.reading else [self.writing.close()]))


async def close_all(*work: Coroutine[Any, Any, None]) -> None:
    """Do several closings, each to its end, whatever becomes of the others."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            log.info("closing a database failed: %s", type(result).__name__)
