"""Which event loop something belongs to: a client with all that is under way in it, a stream, a port. It cannot be used
in another one, and nothing can be seen of it where that was tried."""

from __future__ import annotations

import asyncio

from rpcwire.elsewhere import parent_error
from rpcwire.errors import ConnectionClosed, LocalProtocolError
from rpcwire.forking import home


def current_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs here, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def running_loop() -> asyncio.AbstractEventLoop:
    """The event loop that runs here.

    Raises:
        LocalProtocolError: none does.
    """
    loop = current_loop()
    if loop is None:
        raise LocalProtocolError("no event loop of asyncio runs here: await it within asyncio.run(), or use Client")
    return loop


class Life:
    """The life of something: it is over with its event loop, which belongs to one process.

    Parameters:
        loop: that loop.
    """

    __slots__ = ("_home", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._home = home()

    @property
    def is_over(self) -> bool:
        """Whether the loop is closed, or another process's."""
        return self._home is not home() or self.loop.is_closed()

    def check_over(self, what: str, remedy: str = "open it anew here") -> None:
        """Refuse the use of something whose life is over.

        Parameters:
            what: that is used.
            remedy: what to do instead.

        Raises:
            ConnectionClosed: it is over.
        """
        if self._home is not home():
            raise parent_error(what, remedy)
        if self.loop.is_closed():
            raise ConnectionClosed(f"{what} belongs to an event loop that has ended: {remedy}")

    def check_place(self, what: str) -> None:
        """Refuse the use of something in another event loop than its own, while that is not closed.

        Parameters:
            what: that is used.

        Raises:
            LocalProtocolError: it lives elsewhere.
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
            what: that is used.

        Raises:
            ConnectionClosed: its own has ended.
            LocalProtocolError: its own goes on.
        """
        if current_loop() is not self.loop:
            self.check_over(what)
            self.check_place(what)
