"""Threads that run handlers."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from rpcwire.pool import Pool


class Workers(Pool):
    """The threads of a client. They are daemons, so that a handler that does not end cannot keep the interpreter from
    ending."""

    def give(self, job: Callable[[], None], on_refusal: Callable[[BaseException], None]) -> None:
        """Have a thread run a job.

        Parameters:
            job: a function that raises nothing.
            on_refusal: called with the error if there is no thread for the job. It is not called while the client
                closes: nobody waits then.
        """

        def on_end(future: Future[None]) -> None:
            if not future.cancelled() and (exc := future.exception()) is not None:
                on_refusal(exc)

        with contextlib.suppress(RuntimeError):  # The client is closing.
            self.submit(job).add_done_callback(on_end)

    def leave(self) -> None:
        """End all threads when they have nothing to do. The garbage collector may call this at any moment."""
        self.shutdown(wait=False)

    def close(self, until: float) -> None:
        """Begin no more jobs, and wait for the threads. Threads that do not end in time go on.

        Parameters:
            until: the end of the wait, on the clock of :func:`time.monotonic`.
        """
        threads = self.threads()
        self.shutdown(wait=False, cancel_futures=True)
        if threading.current_thread() in threads:
            return  # A handler that closes its client cannot wait for itself.
        for thread in threads:
            thread.join(max(until - time.monotonic(), 0.0))
