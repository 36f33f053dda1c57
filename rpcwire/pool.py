"""Threads for handlers that are plain functions. A handler that waits for the answer of a call of its own takes no
place: what that call brings back finds a thread, however often the two sides call each other in turn."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

from .errors import Busy
from .forking import home

_P = ParamSpec("_P")
_T = TypeVar("_T")

PLACES = 32
"""Handlers that are at work at the same time, where nobody says otherwise."""
WAITING = 256
"""Handlers that may wait for answers of calls of their own, besides those that are at work."""
IDLE_S = 10.0
"""How long a thread waits for something to do before it ends, in seconds."""


class Place:
    """What a handler takes while it runs, and gives back while it waits.

    Parameters:
        pool: whose place it is.
    """

    __slots__ = ("over", "pool", "waits")

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.waits = 0
        self.over = False


_here = threading.local()
_taken: ContextVar[Place | None] = ContextVar("_taken", default=None)

current_place: Callable[[], Place | None] = _taken.get
"""The place of the handler for which what runs here counts, if there is one."""


def take_place() -> None:
    """Have what runs in this context count for the handler whose thread this is. Calls that others make for it with its
    context, such as an event loop by :func:`asyncio.run_coroutine_threadsafe`, are known as its own then."""
    _taken.set(getattr(_here, "place", None))


def leave_place() -> None:
    """Have what runs in this context count for no handler."""
    _taken.set(None)


@contextmanager
def _given_back(place: Place) -> Iterator[None]:
    place.pool.begin_wait(place)
    try:
        yield
    finally:
        place.pool.end_wait(place)


class _Nothing:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


_NOTHING = _Nothing()


def waiting() -> Any:
    """A context in which the handler that runs here, if any, waits for the other side."""
    place = _taken.get()
    return _NOTHING if place is None or place.pool.is_parents else _given_back(place)


class Pool(Executor):
    """Runs functions in threads.

    Parameters:
        places: how many are at work at the same time; those that come later wait for a place.
        name: what its threads are called, before their numbers.
        most: the most threads, those included that wait for answers. Where all of them do, so that nothing would ever
            give a place back, what comes is refused.
    """

    def __init__(self, places: int = PLACES, name: str = "rpc-handler", *, most: int | None = None) -> None:
        self._places = places
        self._most = places + WAITING if most is None else most
        self._name = name
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._home = home()
        # Garbage that is collected in the middle of anything may close the pool.
        self._changed = threading.Condition(threading.RLock())
        self._queue: deque[Callable[[], None]] = deque()
        self._failing: dict[int, Future[Any]] = {}
        self._ready: deque[Callable[[], None]] = deque()
        self._threads: set[threading.Thread] = set()
        self._available = 0  # Threads that wait for something to do, or have just been started.
        self._working = 0
        self._number = 0
        self._closed = False

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Run a function as soon as there is a place.

        Returns:
            Its result. :class:`Busy` is set where there is no hope of a place.

        Raises:
            RuntimeError: the pool is closed.
        """
        if self.is_parents:  # Threads do not come along to a child, and the lock may be held by one of them.
            self._begin_anew()
        future: Future[_T] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as exc:
                future.set_exception(exc)
            else:
                future.set_result(result)

        with self._changed:
            if self._closed:
                raise RuntimeError("the threads for handlers have ended")
            self._queue.append(work)
            self._failing[id(work)] = future
            hopeless = self._assign()
        self._refuse(hopeless)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take nothing more.

        Parameters:
            wait: return when all threads have ended.
            cancel_futures: forget what has not begun.
        """
        if self.is_parents:
            self._begin_anew()
        with self._changed:
            self._closed = True
            forgotten = self._take_queue() if cancel_futures else []
            self._changed.notify_all()
            threads = list(self._threads)
        for future in forgotten:
            future.cancel()
        if wait:
            for thread in threads:
                if thread is not threading.current_thread():
                    thread.join()

    def threads(self) -> list[threading.Thread]:
        """Those that there are."""
        with self._changed:
            return list(self._threads)

    @property
    def is_parents(self) -> bool:
        """Whether this process is a child of the one that has the threads."""
        return self._home is not home()

    # --- waiting ------------------------------------------------------------------------------------------------

    def begin_wait(self, place: Place) -> None:
        """The handler of a place waits for the other side. It may do so several times at once."""
        with self._changed:
            place.waits += 1
            if place.waits > 1 or place.over:
                return
            self._working -= 1
            hopeless = self._assign()
        self._refuse(hopeless)

    def end_wait(self, place: Place) -> None:
        """It goes on. For that it needs no place: others may be at work in its own."""
        with self._changed:
            place.waits -= 1
            if place.waits == 0 and not place.over:
                self._working += 1

    # --- with the lock ------------------------------------------------------------------------------------------

    def _assign(self) -> list[Future[Any]]:
        """Give what waits its place, as far as there are any; returns what will never get one."""
        while self._queue and self._working < self._places:
            if len(self._ready) >= self._available and not self._start_thread():
                break
            self._changed.notify()
            self._working += 1
            work = self._queue.popleft()
            self._failing.pop(id(work), None)
            self._ready.append(work)
        return self._take_queue() if self._queue and self._working == 0 else []

    def _take_queue(self) -> list[Future[Any]]:
        taken = [self._failing.pop(id(work)) for work in self._queue]
        self._queue.clear()
        return taken

    def _start_thread(self) -> bool:
        if len(self._threads) >= self._most:
            return False
        self._number += 1
        thread = threading.Thread(target=self._serve, name=f"{self._name}_{self._number}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # The system has no more: that is a bound like ours.
            return False
        self._threads.add(thread)
        self._available += 1
        return True

    # --- without it ---------------------------------------------------------------------------------------------

    def _refuse(self, futures: list[Future[Any]]) -> None:
        for future in futures:
            if future.set_running_or_notify_cancel():
                text = f"all {self._most} threads for handlers wait for answers of calls of their own"
                future.set_exception(Busy(f"{text}: calls go back and forth too deeply, or too many come at once"))

    def _serve(self) -> None:
        while (work := self._next()) is not None:
            self._run(work)
            del work  # Nothing of it is kept while the next is waited for.
            if self.is_parents:
                return  # The handler has forked, and this is the child.

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._closed, IDLE_S)
            self._available -= 1
            if self._ready:
                return self._ready.popleft()
            self._threads.discard(threading.current_thread())
            return None

    def _run(self, work: Callable[[], None]) -> None:
        place = _here.place = Place(self)
        try:
            work()
        finally:
            _here.place = None
            if not self.is_parents:
                self._ended(place)

    def _ended(self, place: Place) -> None:
        with self._changed:
            place.over = True
            if place.waits == 0:
                self._working -= 1
            self._available += 1
            hopeless = self._assign()
        self._refuse(hopeless)
