"""Threads that run handlers."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from rpcwire.pool import Pool


class Workers(Pool):
    """The threads of a client. They are daemons: a handler that does not end holds up no interpreter that does."""

    def give(self, job: Callable[[], None], refused: Callable[[BaseException], None]) -> None:
        """Have a job done.

        Parameters:
            job: what to do. It must not raise.
            refused: told where there is no thread for it. Not where the client is closing: nobody waits then.
        """

        def ended(future: Future[None]) -> None:
            if not future.cancelled() and (exc := future.exception()) is not None:
                refused(exc)

        with contextlib.suppress(RuntimeError):  # It is closing.
            self.submit(job).add_done_callback(ended)

    def leave(self) -> None:
        """End all threads once they have nothing to do. It may be called at any moment, as garbage is collected."""
        self.shutdown(wait=False)

    def close(self, until: float) -> None:
        """Begin no other job, and wait for the threads; those that do not end are left to themselves.

        Parameters:
            until: how long to wait, on the clock of :func:`time.monotonic`.
        """
        threads = self.threads()
        self.shutdown(wait=False, cancel_futures=True)
        if threading.current_thread() in threads:
            return  # A handler closes its own client: it cannot wait for itself.
        for thread in threads:
            thread.join(max(until - time.monotonic(), 0.0))
