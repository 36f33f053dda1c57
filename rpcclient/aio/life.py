"""Binds clients, streams and ports to the event loop in which they are used. Using one in another loop is an error, and
changes nothing."""

from __future__ import annotations

import asyncio

from rpcwire.elsewhere import parent_error
from rpcwire.errors import ConnectionClosed, LocalProtocolError
from rpcwire.forking import home


def current_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs here, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop that runs here.

    Raises:
        LocalProtocolError: no loop runs here.
    """
    loop = current_loop()
    if loop is None:
        raise LocalProtocolError("no event loop of asyncio runs here: await it within asyncio.run(), or use Client")
    return loop


class Life:
    """The life of something that belongs to an event loop. It ends with the loop, and a forked child has no part in it.

    Parameters:
        loop: the event loop.
    """

    __slots__ = ("_home", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._home = home()

    @property
    def is_over(self) -> bool:
        """Whether the loop is closed, or belongs to another process."""
        return self._home is not home() or self.loop.is_closed()

    def check_over(self, what: str, remedy: str = "open it anew here") -> None:
        """Refuse the use of something whose life is over.

        Parameters:
            what: its name in the error text.
            remedy: what to do instead.

        Raises:
            ConnectionClosed: its life is over.
        """
        if self._home is not home():
            raise parent_error(what, remedy)
        if self.loop.is_closed():
            raise ConnectionClosed(f"{what} belongs to an event loop that has ended: {remedy}")

    def check_place(self, what: str) -> None:
        """Refuse the use of something in another event loop than its own, unless its own is closed.

        Parameters:
            what: its name in the error text.

        Raises:
            LocalProtocolError: it belongs to another loop.
        """
        here = current_loop()
        if here is self.loop or self.is_over:
            return
        if here is None:
            running_loop()
        raise LocalProtocolError(
            f"{what} belongs to another event loop, which is not closed: use it there, by "
            "asyncio.run_coroutine_threadsafe, or make one for this loop"
        )

    def check(self, what: str) -> None:
        """Refuse the use of something in another event loop than its own.

        Parameters:
            what: its name in the error text.

        Raises:
            ConnectionClosed: its own loop has ended.
            LocalProtocolError: its own loop is not closed.
        """
        if current_loop() is not self.loop:
            self.check_over(what)
            self.check_place(what)
