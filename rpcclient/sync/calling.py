"""Makes calls over a connection, and again over another one if the first has not sent them."""

from __future__ import annotations

import time
from typing import Any, NoReturn, Protocol

from rpcclient.methods import Method
from rpcclient.options import CallOptions
from rpcwire.elsewhere import raise_unpicklable
from rpcwire.errors import NotSent
from rpcwire.events import ProgressHook
from rpcwire.threads.inbox import StreamReader

from .connector import Connector
from .exchange import perform
from .stream import Stream


class Calls:
    """Makes calls over a client's connection. It is all that the client's views know of the client.

    Parameters:
        connector: has the connection.
        options: the options of each call.
    """

    __slots__ = ("connector", "options")

    now = staticmethod(time.monotonic)
    """Return the time on the clock of deadlines, in seconds."""

    def __init__(self, connector: Connector, options: CallOptions) -> None:
        self.connector = connector
        self.options = options

    def __reduce__(self) -> NoReturn:
        raise_unpicklable("Client")

    @property
    def url(self) -> str:
        """The server's address."""
        return self.connector.options.target.url

    def with_options(
        self,
        *,
        timeout_s: float | None = None,
        progress: ProgressHook | None = None,
        key: str | None = None,
        window: int | None = None,
        resend: bool | None = None,
    ) -> Calls:
        """Return the same connection with other options; see :meth:`rpcclient.options.CallOptions.override`."""
        options = self.options.override(timeout_s=timeout_s, progress=progress, key=key, window=window, resend=resend)
        return Calls(self.connector, options)

    def invoke(self, method: Method, params: Any) -> Any:
        """Call a method and wait for its result.

        Parameters:
            method: what is known of the method.
            params: by name or by position.

        Raises:
            RpcError: the call failed.
        """
        return self._perform(method, params, streams=False)

    def notify(self, method: Method, params: Any) -> None:
        """Send a notification.

        Parameters:
            method, params: as of :meth:`invoke`.

        Raises:
            RpcError: it could not be sent.
        """
        deadline = time.monotonic() + self.options.seconds()
        while True:
            peer = self.connector.peer(deadline, may_reconnect=self.options.resend)
            try:
                peer.notify(method.name, method.dump(params, peer.session.codec), deadline)
                return
            except NotSent:
                if not self.may_retry(deadline):
                    raise

    def open(self, method: Method, params: Any) -> Stream[Any]:
        """Make a stream that calls a method when it is opened.

        Parameters:
            method, params: as of :meth:`invoke`.
        """

        def begin() -> StreamReader[Any]:
            reader: StreamReader[Any] = self._perform(method, params, streams=True)
            return reader

        return Stream(begin)

    def _perform(self, method: Method, params: Any, *, streams: bool) -> Any:
        options = self.options
        deadline = time.monotonic() + options.seconds(method.deadline_s)
        while True:
            peer = self.connector.peer(deadline, may_reconnect=options.resend)
            try:
                return perform(peer, method, params, options, deadline, streams=streams)
            except NotSent:  # It was not sent, and no item of its streams was taken: it may be sent again.
                if not self.may_retry(deadline):
                    raise

    def may_retry(self, deadline: float) -> bool:
        """Return whether a call that was not sent may be sent again. The connector then makes another connection."""
        return self.options.resend and self.connector.options.reconnect and time.monotonic() < deadline


class HasCalls(Protocol):
    """What views need of a client."""

    @property
    def calls(self) -> Calls:
        """What makes its calls."""
        ...
