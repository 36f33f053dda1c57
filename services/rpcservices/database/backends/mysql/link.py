"""MariaDB and MySQL by asyncmy, with unbuffered cursors: the server's rows wait until they are read.

A statement that only reads runs in an XA transaction that is READ ONLY and whose id no client learns. A plain READ ONLY
transaction would not do: ``BEGIN NOT ATOMIC COMMIT; SET tx_read_only = 0; INSERT ...; END`` is one statement, and so is
``SET STATEMENT tx_read_only = 0 FOR INSERT ...``. An active XA transaction refuses COMMIT, and everything that would
commit implicitly, until somebody ends it by its id. A client can change the session's default, so we say READ ONLY
again after each client's statement on the connection. In such a transaction the server also refuses tables and
sequences that know no transactions.

Statements travel as text, in which the parameters are literals. Two settings of the connection decide what such text
means, and clients can change both. We set the character set back to utf8mb4 before the next statement, and we ask for
the sql_mode where a statement depends on it. The flag that the server sends with each answer
(SERVER_STATUS_NO_BACKSLASH_ESCAPES) does not tell the mode reliably: it stays set after ``SET sql_mode = ''`` and after
a procedure that set the mode for itself.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import asyncmy
from asyncmy import errors as my_errors
from asyncmy.cursors import SSCursor
from asyncmy.protocol import FieldDescriptorPacket
from sqlalchemy import URL, PoolProxiedConnection

from rpcservices.database.apart import read_sql
from rpcservices.database.backends.base import Cursor, Link
from rpcservices.database.backends.parameters import Params, Values, convert_params, parameters_of
from rpcservices.database.backends.slices import Slices
from rpcservices.database.backends.sockets import has_ended
from rpcservices.database.config import DatabaseConfig
from rpcservices.database.errors import DatabaseOperationalError
from rpcservices.database.failures import translate_error
from rpcservices.database.hints import is_query, may_set
from rpcservices.database.models import Description, Isolation, TxState
from rpcservices.database.placeholders import Style, depends_on_syntax, translate
from rpcwire.sql import Syntax, first_word, mysql_syntax

from .charsets import refuse_other_charsets
from .literals import fill_in, has_backslash, join_rows
from .privileges import reaching_beyond
from .values import column_of, to_mysql

_STMT_PREPARE, _STMT_CLOSE, _SET_OPTION, _RESET_CONNECTION = 0x16, 0x19, 0x1B, 0x1F
_MULTI_STATEMENTS_ON, _MULTI_STATEMENTS_OFF = b"\x00\x00", b"\x01\x00"
_INTERRUPTED, _READ_ONLY, _NO_SUCH_VARIABLE = 1317, 1792, 1193
_SESSION_TRACK = 1 << 23
"""Have the server say when a statement has changed the connection's character sets or schema
(https://mariadb.com/kb/en/connection/#capabilities)."""
_SESSION_STATE_CHANGED = 1 << 14
_SPEAK_UTF8MB4 = (
    "SET character_set_client = utf8mb4, character_set_results = utf8mb4, collation_connection = "
    "IF(@@character_set_connection = 'utf8mb4', @@collation_connection, COLLATION(CONVERT('' USING utf8mb4)))"
)
"""A client may choose the collation of literals among those of utf8mb4."""

_CURTAIN = f"/*{'*' * 65535}*/"
"""Other connections of the same role may read the list of processes. It shows at most 65,535 bytes of a statement
(https://mariadb.com/kb/en/information-schema-processlist-table/), and SHOW PROFILES only 300."""

_TELLING = frozenset({"SHOW", "DESC", "DESCRIBE", "EXPLAIN"})
_CHANGING = frozenset({
    "INSERT", "REPLACE", "UPDATE", "DELETE", "LOAD", "CREATE", "ALTER", "DROP", "TRUNCATE", "RENAME", "GRANT", "REVOKE",
})  # fmt: skip
_MAY_LOCK = re.compile(r"\bFOR\s+UPDATE\b|\bLOCK\s+IN\b|\bINTO\b", re.IGNORECASE)
_ENDINGS = "SHOW SESSION STATUS WHERE Variable_name IN ('Com_begin', 'Com_commit', 'Com_rollback')"
"""How many transactions the session has begun and ended, so that one can be told from another. Procedures count
theirs, too."""
_ROLES = "SELECT DISTINCT ROLE_NAME FROM information_schema.APPLICABLE_ROLES"


def _quote(name: str) -> str:
    return f"`{name.replace('`', '``')}`"


class MysqlCursor(Cursor):
    """A statement under way in MariaDB or MySQL.

    Parameters:
        link: where it runs.
        cursor: asyncmy's.
        kills: whether closing it early may kill the statement, which undoes its changes; otherwise closing it reads and
            drops the rest.
    """

    def __init__(self, link: MysqlLink, cursor: Any, *, kills: bool) -> None:
        self._link = link
        self._cursor = cursor
        self.whole = not kills
        self._slices = Slices()
        self._first: list[tuple[Any, ...]] | None = None
        self.more = False
        if cursor.description is not None:
            self.columns = tuple(column_of(field) for field in cursor._result.fields)  # noqa: SLF001 - no other way
        else:
            self.rowcount = cursor.rowcount
            self.last_insert_id = cursor.lastrowid or None

    async def fetch(self, limit: int) -> list[tuple[Any, ...]]:
        if self._first is not None:
            rows, self._first = self._first, None
            return rows
        if not self.more:
            return []
        self._link.flow(on=True)
        rows = await self._take(limit)
        self._link.flow(on=not self.more)
        return rows

    async def start(self, first: int) -> None:
        """Read the first rows, where there are any."""
        if self.columns:
            self._first = await self._take(first)

    async def _take(self, limit: int) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        slices = self._slices
        slices.begin(limit)
        while count := slices.next_size():
            fresh = await self._cursor.fetchmany(count)
            slices.record(fresh, count)
            rows += fresh
        self.more = not slices.over
        self._learn()
        return rows

    def _learn(self) -> None:
        """Take note where the server says that the statement has changed settings of the connection."""
        result = self._cursor._result  # noqa: SLF001 - no other way
        if result is not None and result.server_status & _SESSION_STATE_CHANGED:
            self._link.note_new_settings()

    async def close(self) -> None:
        must_kill = self.more and not self.whole
        self.more = False
        if self._link.is_broken:
            return  # The connection will be closed, which ends the statement.
        if must_kill:
            # asyncmy would read all remaining rows, so the server must stop first.
            try:
                await self._link.interrupt()
            except my_errors.Error:
                self._link.is_broken = True
                return
        self._link.flow(on=True)
        try:
            await self._cursor.close()
        except my_errors.Error as exc:
            if not must_kill:
                await self._link.after_error()
                raise
            if exc.args[:1] != (_INTERRUPTED,):
                self._link.is_broken = True
        self._learn()


class MysqlLink(Link):
    """A connection to MariaDB or MySQL."""

    dialect: ClassVar[str] = "mysql"
    style: Style = "format"
    defining_commits: ClassVar[bool] = True

    def __init__(self, connection: PoolProxiedConnection, config: DatabaseConfig, *, readonly: bool) -> None:
        super().__init__(connection, config, readonly=readonly)
        driver: Any = connection.driver_connection
        self._driver = driver
        self._thread_id: int = driver.thread_id()
        self._xid: str | None = None
        self._is_used = False
        self._is_interrupted = False
        self._is_touched = False
        self._has_moved = False
        self._has_strayed = False
        self._syntax: Syntax | None = None
        self._greeting: list[str] = []
        self._database: str | None = None
        self._role: str | None = None
        self._transaction_counts: list[tuple[Any, ...]] = []

    @classmethod
    def engine_options(cls, url: URL, config: DatabaseConfig, *, readonly: bool) -> tuple[URL, dict[str, Any]]:
        text = url.query.get("client_flag", "0")
        flags = int(text) if isinstance(text, str) and text.isdigit() else 0
        url = url.difference_update_query(["local_infile", "charset", "use_unicode", "stmt_cache_size"])
        return url.update_query_dict({"client_flag": str(flags | _SESSION_TRACK)}), {
            "connect_timeout": max(1, round(config.connect_timeout_s)),
            "local_infile": False,
            "charset": "utf8mb4",
        }

    async def prepare(self) -> None:
        await self._configure()
        await self._look_around()
        await self._learn_greeting()
        if not self.config.allow_privileged_role:
            right = reaching_beyond(await self._grants())
            if right is not None:
                raise DatabaseOperationalError(
                    f"the role, or one that it may become, has rights beyond its databases ({right}): use a role "
                    "without them, or set allow_privileged_role",
                    executed="no",
                )

    async def _grants(self) -> list[str]:
        """The rights of the role itself, of each of its roles, and of PUBLIC."""
        grants = await self._rows("SHOW GRANTS")
        try:
            roles = [name for (name,) in await self._rows(_ROLES)]
        except my_errors.Error:
            roles = []  # A server without roles.
        if roles:
            for role in roles:
                try:
                    await self._rows(f"SET ROLE {_quote(role)}")
                except my_errors.Error:
                    continue  # A role of a role: the grants of the outer role name its rights.
                grants += await self._rows("SHOW GRANTS")
            await self._rows(f"SET ROLE {self._role}")
        return [line for (line,) in grants]

    async def _look_around(self) -> None:
        """Learn the database and the role that the connection begins with, so that :meth:`_come_back` can restore
        them."""
        ((self._database,),) = await self._rows("SELECT DATABASE()")
        try:
            ((role,),) = await self._rows("SELECT CURRENT_ROLE()")
        except my_errors.Error:
            return  # A server without roles.
        self._role = _quote(role) if role and role != "NONE" and "`" not in role else role or "NONE"

    async def _learn_greeting(self) -> None:
        """Learn the statements that the server and the URL run at the beginning of each connection; resetting the
        connection undoes them. The server runs its own only for roles without rights over the server."""
        ((first,),) = await self._rows("SELECT @@init_connect")
        if first and not self.config.allow_privileged_role:
            self._greeting.append(first)
        driver = self._driver
        if driver._sql_mode is not None:  # noqa: SLF001 - asyncmy has no method for it
            self._greeting.append(f"SET sql_mode={driver._sql_mode}")  # noqa: SLF001
        if driver._init_command is not None:  # noqa: SLF001
            self._greeting.append(driver._init_command)  # noqa: SLF001

    async def _greet(self) -> None:
        if not self._greeting:
            return
        await self._multi_statements(_MULTI_STATEMENTS_ON)
        for command in self._greeting:
            cursor = self._driver.cursor()
            await cursor.execute(command)
            await cursor.close()

    async def _come_back(self) -> None:
        """Undo USE and SET ROLE; resetting the connection does not. Even a query may set the role, by a function."""
        if self._role is not None:
            await self._rows(f"SET ROLE {self._role}")
        if not self._has_moved:
            return
        self._has_moved = False
        if self._database is not None:
            await self._rows(f"USE {_quote(self._database)}")
        elif await self._rows("SELECT DATABASE()") != [(None,)]:
            self.is_broken = True  # No statement leaves a database without choosing another.

    async def _configure(self) -> None:
        await self._multi_statements(_MULTI_STATEMENTS_OFF)
        await self._driver.autocommit(value=True)
        await self._rows("SET NAMES utf8mb4")
        if self.readonly:
            await self._rows("SET SESSION TRANSACTION READ ONLY")

    async def _multi_statements(self, option: bytes) -> None:
        await self._driver._execute_command(_SET_OPTION, option)  # noqa: SLF001 - it has no method
        await self._driver.read_packet()

    async def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        cursor = self._driver.cursor()
        await cursor.execute(sql)
        rows = list(await cursor.fetchall()) if cursor.description else []
        await cursor.close()
        return rows

    @property
    def syntax(self) -> Syntax:
        return self._syntax or self.dialect

    async def learn_syntax(self, sql: str) -> Syntax:
        if depends_on_syntax(sql):
            await self._learn_mode()
        return self.syntax

    async def _learn_mode(self) -> None:
        if self._syntax is None:
            ((mode,),) = await self._rows("SELECT @@sql_mode")
            self._syntax = mysql_syntax(mode)

    def note_new_settings(self) -> None:
        """Note that a statement has changed settings of the connection, or may have done so."""
        self._has_strayed = True
        self._syntax = None

    async def _settle_settings(self) -> None:
        """Make the server read the client's next statement in the character set that we send it in."""
        if self._has_strayed:
            await self._rows(_SPEAK_UTF8MB4)
            self._has_strayed = False

    async def execute(self, sql: str, params: Params, first: int) -> Cursor:
        return await self._start(sql, params, first, kills=self.readonly)

    async def stream(self, sql: str, params: Params, first: int) -> Cursor:
        return await self._start(sql, params, first, kills=self.readonly or is_query(sql, self.dialect))

    async def _start(self, sql: str, params: Params, first: int, *, kills: bool) -> Cursor:
        await self._settle_settings()
        text = sql
        if params is not None:
            statement = await read_sql(
                translate, sql, await self.learn_syntax(sql), "format", isinstance(params, Mapping)
            )
            values = convert_params(to_mysql, statement, params)
            if has_backslash(values):
                await self._learn_mode()
            text = fill_in(statement.sql, values, self.syntax)
        self._about_to_run(sql)
        cursor = self._driver.cursor(SSCursor)
        try:
            await cursor.execute(text)
            result = MysqlCursor(self, cursor, kills=kills)
            await result.start(first)
        except Exception:
            await self.after_error()
            raise
        self.flow(on=not result.more)
        return result

    def _about_to_run(self, sql: str) -> None:
        self._is_used = self._is_touched = True
        self._has_moved = self._has_moved or not is_query(sql, self.dialect)
        if may_set(sql, self.dialect):
            self.note_new_settings()

    def flow(self, *, on: bool) -> None:
        """Let the server send rows, or make it wait: asyncmy would keep in memory all that arrives before somebody
        reads."""
        transport = self._driver._transport  # noqa: SLF001 - it has no method
        if transport is None or transport.is_closing() or transport.is_reading() == on:
            return
        if on:
            transport.resume_reading()
        else:
            transport.pause_reading()

    async def execute_many(self, sql: str, sets: Sequence[Values], first_row: int = 0) -> int:
        await self._settle_settings()
        if not sets:
            return 0
        statement = await read_sql(translate, sql, await self.learn_syntax(sql), "format", isinstance(sets[0], Mapping))
        rows = [convert_params(to_mysql, statement, one, row) for row, one in enumerate(sets, first_row)]
        if any(map(has_backslash, rows)):
            await self._learn_mode()
        syntax = self.syntax
        self._about_to_run(sql)
        cursor = self._driver.cursor()
        try:
            count = 0
            for text in join_rows(statement.sql, rows, syntax):
                await cursor.execute(text)
                count += int(cursor.rowcount)
            return count
        except Exception:
            await self.after_error()
            raise
        finally:
            await cursor.close()

    async def mark(self) -> None:
        self._transaction_counts = await self._rows(_ENDINGS)

    async def is_marked(self) -> bool:
        return self.tx_state() is not TxState.NONE and await self._rows(_ENDINGS) == self._transaction_counts

    async def run_script(self, sql: str) -> list[int]:
        await self._settle_settings()
        await read_sql(refuse_other_charsets, sql, await self.learn_syntax(sql))
        self._is_used = self._is_touched = self._has_moved = True
        self.note_new_settings()
        await self._multi_statements(_MULTI_STATEMENTS_ON)
        cursor = self._driver.cursor()
        counts: list[int] = []
        try:
            await cursor.execute(sql)
            counts.append(cursor.rowcount)
            while await cursor.nextset():
                counts.append(cursor.rowcount)
        except Exception as exc:
            await self.after_error()
            raise translate_error(exc, step=len(counts)) from None
        finally:
            await cursor.close()
            await self._multi_statements(_MULTI_STATEMENTS_OFF)
        return counts

    def explain_sql(self, sql: str, *, analyze: bool) -> str:
        return f"ANALYZE {sql}" if analyze else f"EXPLAIN {sql}"

    async def describe(self, sql: str) -> Description:
        self._is_used = True
        await self._settle_settings()
        syntax = await self.learn_syntax(sql)
        statement, parameters = await read_sql(parameters_of, sql, syntax, "qmark")
        nulls, _ = await read_sql(parameters_of, sql, syntax, "null")
        try:
            fields = await self._prepared_fields(statement.sql)
        except my_errors.Error as exc:
            if exc.args[:1] != (_READ_ONLY,):
                raise
            return Description(parameters, [], readonly=False)
        columns = [column_of(field) for field in fields]
        return Description(parameters, columns, await self._reads_only(nulls.sql))

    async def _prepared_fields(self, sql: str) -> list[Any]:
        """Prepare a statement and drop it, for its columns; asyncmy's own ``prepare()`` does not keep them."""
        driver = self._driver
        await driver._execute_command(_STMT_PREPARE, sql.encode())  # noqa: SLF001
        packet = await driver.read_packet()
        packet.read_uint8()
        statement_id = packet.read_uint32()
        columns, takes = packet.read_uint16(), packet.read_uint16()
        eof = not driver._deprecate_eof  # noqa: SLF001
        for _ in range(takes + (1 if takes and eof else 0)):
            await driver.read_packet()
        fields = [await driver.read_packet(FieldDescriptorPacket) for _ in range(columns)]
        if columns and eof:
            await driver.read_packet()
        await driver._execute_command(_STMT_CLOSE, statement_id.to_bytes(4, "little"))  # noqa: SLF001
        return fields

    async def _reads_only(self, sql: str) -> bool | None:
        word = first_word(sql, self.dialect)
        if word in _TELLING or word in _CHANGING:
            return word in _TELLING
        if not self.readonly and self._xid is None:
            # This server would refuse nothing here, and its EXPLAIN does not tell what kind a statement is.
            return True if is_query(sql, self.dialect) and not _MAY_LOCK.search(sql) else None
        try:
            await self._rows(f"EXPLAIN {sql}")
        except my_errors.Error as exc:
            return False if exc.args[:1] == (_READ_ONLY,) else None
        return True

    async def after_error(self) -> None:
        """Ask for the state of the transaction: an error does not tell whether it has ended it, as a deadlock does."""
        try:
            await self._rows("DO 0")
        except my_errors.Error as exc:
            if exc.args[:1] != (_INTERRUPTED,):
                self.is_broken = True
        except Exception:
            self.is_broken = True  # An answer that could not be read is still on the connection.

    async def guard(self, *, once: bool = False) -> None:
        if self.readonly:
            await self.begin(None, readonly=True)

    async def begin(self, isolation: Isolation | None, *, readonly: bool) -> None:
        self._is_used = True
        if isolation is not None:
            await self._rows(f"SET TRANSACTION ISOLATION LEVEL {isolation.value.upper()}")
        if readonly or self.readonly:
            if self._is_touched:
                await self._forget_profiles()
            if self._is_touched or not self.readonly:
                await self._rows("SET TRANSACTION READ ONLY")
            self._xid = secrets.token_hex(16)
            await self._rows(f"{_CURTAIN} XA START '{self._xid}'")
        else:
            await self._rows("START TRANSACTION READ WRITE")

    async def _forget_profiles(self) -> None:
        """Make sure that SHOW PROFILES does not show the transaction's id."""
        try:
            await self._rows("SET SESSION profiling = 0")
        except my_errors.Error as exc:
            if exc.args[:1] != (_NO_SUCH_VARIABLE,):
                raise

    async def commit(self) -> None:
        if self._xid is not None:
            await self.rollback()  # It has changed nothing.
        else:
            await self._rows("COMMIT")

    async def rollback(self) -> None:
        if self._xid is None:
            await self._rows("ROLLBACK")
            return
        xid, self._xid = self._xid, None
        try:
            await self._rows(f"XA END '{xid}'")
        except my_errors.Error:
            pass  # The server has already marked it as one that can only be rolled back.
        await self._rows(f"XA ROLLBACK '{xid}'")

    def has_ended(self) -> bool:
        driver = self._driver
        if not driver.connected or driver._stream_broken:  # noqa: SLF001 - it tells it in no other way
            return True
        socket: int = driver._transport.get_extra_info("socket").fileno()  # noqa: SLF001
        return socket < 0 or has_ended(socket)

    def tx_state(self) -> TxState:
        if self.is_broken or not self._driver.connected:
            return TxState.ENDED
        if self.readonly and self._xid is None:
            return TxState.NONE  # With autocommit = 0 the server reports an open transaction as soon as one has ended.
        return TxState.ACTIVE if self._driver.get_transaction_status() else TxState.NONE

    async def interrupt(self) -> None:
        self._is_interrupted = True
        side = await asyncmy.connect(**self.connect_arguments)
        try:
            cursor = side.cursor()
            await cursor.execute(f"KILL QUERY {self._thread_id}")
            await cursor.close()
        finally:
            await side.ensure_closed()

    def must_reset(self) -> bool:
        return self._is_used

    async def reset(self) -> None:
        if self._is_interrupted:
            try:
                await self._rows("DO 0")  # A KILL QUERY that came too late stops this statement instead.
            except my_errors.Error as exc:
                if exc.args[:1] != (_INTERRUPTED,):
                    raise
        if self._xid is not None:
            await self.rollback()
        await self._driver._execute_command(_RESET_CONNECTION, b"")  # noqa: SLF001 - it has no method
        await self._driver._read_ok_packet()  # noqa: SLF001 - it learns whether autocommit is on now
        self._has_strayed, self._syntax = False, None
        await self._greet()
        await self._configure()
        await self._come_back()
        self._is_used = False
        self._is_touched = False
        self._is_interrupted = False
