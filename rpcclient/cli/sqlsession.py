"""The connection to the database behind the interactive ``rpcclient sql``, and a new one after it was lost."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rpcclient.backoff import BACKOFF_MOST_S

from .sqltext import control_of

if TYPE_CHECKING:
    from rpcclient import Client, Stream
    from rpcclient.stubs.database import DatabaseInfo, Page

STATEMENT_TIMEOUT_S = 3600.0
"""How long a statement may take if no deadline was given: a person waits for it, and can press Ctrl-C."""

RECONNECT_S = 2 * BACKOFF_MOST_S
"""How long to try to reach the server again. At least one attempt falls into this time, even right after the longest
pause between two attempts."""

REFRESH_S = 5.0
"""How long to ask the server for the state of a transaction."""


def control(client: Client, info: DatabaseInfo, session: str, statement: str) -> bool:
    """If a statement begins or ends a transaction of a session that only reads, do so by a call. Otherwise it would
    have no effect: each statement of such a session runs in a transaction of its own.

    Returns:
        Whether the statement begins or ends a transaction; if not, nothing was done.
    """
    from rpcclient.stubs.database import Isolation

    transaction_control = control_of(statement, info.dialect)
    if transaction_control is None:
        return False
    if transaction_control.method == "begin":
        isolation = None if transaction_control.isolation is None else Isolation(transaction_control.isolation)
        client.database.begin(info.name, isolation=isolation, readonly=True, session=session)
    elif transaction_control.method == "commit":
        client.database.commit(session)
    else:
        client.database.rollback(session)
    return True


class SqlSession:
    """One connection to the database, so that BEGIN and COMMIT, settings and temporary tables work as in its own
    client. After a lost connection, the next statement opens another.

    Parameters:
        client: connected.
        info: the database.
        write: whether statements may change it.

    Attributes:
        state: of the transaction: ``none``, ``active``, ``failed`` or ``ended``.
    """

    def __init__(self, client: Client, info: DatabaseInfo, *, write: bool) -> None:
        # A call that needs this connection must not go over another one.
        self.client = client.options(timeout_s=client.calls.options.timeout_s or STATEMENT_TIMEOUT_S, resend=False)
        self.state = "none"
        self._info = info
        self._write = write
        self._id: str | None = None

    def reach(self) -> None:
        """Connect again if the connection was lost.

        Raises:
            ConnectFailed: no connection could be made within :data:`RECONNECT_S`.
        """
        from rpcwire.errors import ConnectFailed, NotSent

        if self.client.connected:
            return
        self._report_loss()
        print("reconnecting…", file=sys.stderr, flush=True)
        try:
            self.client.connect(timeout_s=RECONNECT_S)
        except NotSent:
            raise ConnectFailed(
                f"no connection to {self.client.url} within {RECONNECT_S:g} s: the next statement tries again"
            ) from None

    def stream(self, statement: str) -> Stream[Page] | None:
        """Start a statement; ``None`` if it was one that begins or ends a transaction, which has happened.

        Raises:
            RpcError: the server cannot be reached, or has no connection to give.
        """
        self.reach()
        database = self.client.database
        if self._id is None:
            self._id = database.connect(self._info.name, readonly=not self._write).id
        if not self._write and control(self.client, self._info, self._id, statement):
            return None
        return database.stream(self._info.name, statement, transaction=self._id)

    def refresh(self) -> None:
        """Ask for the state of the transaction; never fails, and never waits long."""
        from rpcclient.stubs.database import TransactionLost
        from rpcwire.errors import RpcError, TransportError

        if self._id is None:
            return
        if not self.client.connected:
            self._report_loss()
            return
        try:
            self.state = self.client.options(timeout_s=REFRESH_S).database.renew(self._id).value
        except (TransactionLost, TransportError):
            self._report_loss()
        except (RpcError, KeyboardInterrupt):
            pass

    def _report_loss(self) -> None:
        if self._id is not None:
            rolled_back = "its transaction was rolled back; " if self.state != "none" else ""
            print(
                f"the connection to the database is gone: {rolled_back}its settings and temporary tables are gone, too",
                file=sys.stderr,
            )
        self._id, self.state = None, "none"
