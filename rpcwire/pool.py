"""Threads for handlers that are plain functions. While a handler waits for the answer of its own call, it takes no
place. So there is a thread for calls that come back, however often the two sides call each other in turn."""

from __future__ import annotations

import math
import threading
from collections import Counter, deque
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
"""The default for the number of handlers that work at the same time."""
WAITING = 256
"""The number of handlers that may wait for answers of their own calls, besides those that work."""
IDLE_S = 10.0
"""How long a thread waits for work before it ends, in seconds."""


class Place:
    """A handler takes a place while it works, and gives it back while it waits.

    Parameters:
        pool: the pool of the place.
        holder: the name of whoever has called the handler.
    """

    __slots__ = ("holder", "is_over", "pool", "waits")

    def __init__(self, pool: Pool, holder: str) -> None:
        self.pool = pool
        self.holder = holder
        self.waits = 0
        self.is_over = False


_here = threading.local()
_place: ContextVar[Place | None] = ContextVar("_place", default=None)

current_place: Callable[[], Place | None] = _place.get
"""Return the place of the handler to which the code that runs here belongs; ``None`` if it belongs to none."""


def take_place() -> None:
    """Make the code that runs in this context belong to the handler of this thread. It still does when other threads
    run it with this context, such as an event loop by :func:`asyncio.run_coroutine_threadsafe`."""
    _place.set(getattr(_here, "place", None))


def leave_place() -> None:
    """Make the code that runs in this context belong to no handler."""
    _place.set(None)


@contextmanager
def _give_back(place: Place) -> Iterator[None]:
    place.pool.begin_wait(place)
    try:
        yield
    finally:
        place.pool.end_wait(place)


class _NoWait:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


_NO_WAIT = _NoWait()


def waiting() -> Any:
    """Return a context in which the handler that runs here waits for the other side, if a handler runs here."""
    place = _place.get()
    return _NO_WAIT if place is None or place.pool.is_parents else _give_back(place)


def share_of(size: int, share: float) -> int:
    """Return how many places of a pool one holder may have. Pools of one or two places are not divided.

    Parameters:
        size: the number of places.
        share: the part of them.
    """
    return size if size <= 2 else max(1, math.floor(size * share + 1e-9))


class Share(Executor):
    """Runs the functions of one holder in a pool.

    Parameters:
        pool: the pool.
        holder: the holder's name.
    """

    def __init__(self, pool: Pool, holder: str) -> None:
        self._pool = pool
        self._holder = holder

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Do the same as :meth:`Pool.submit`, for this holder."""
        return self._pool.submit_for(self._holder, fn, *args, **kwargs)


class Pool(Executor):
    """Runs functions in threads.

    Parameters:
        places: the number of functions that work at the same time; others wait for a place.
        name: the name of its threads, before their numbers.
        most: the most threads, with those that wait for answers. If all threads wait for answers, further functions are
            refused, because no place would ever be free.
        share: the part of the places that one holder may have at a time, so that some are left for others. A place that
            becomes free goes to whoever has the fewest.
    """

    def __init__(
        self, places: int = PLACES, name: str = "rpc-handler", *, most: int | None = None, share: float = 1.0
    ) -> None:
        self._name = name
        self._set_size(places, share, most)
        self._begin_anew()

    def _set_size(self, places: int, share: float, most: int | None) -> None:
        self._places = places
        self._share = share_of(places, share)
        self._most = places + WAITING if most is None else most

    def resize(self, places: int, share: float) -> None:
        """Have another number of places. Functions that work go on; threads that are too many end when they are idle.

        Parameters:
            places, share: as of the class.
        """
        with self._condition:
            self._set_size(places, share, None)
            hopeless = self._assign()
        self._refuse(hopeless)

    def _begin_anew(self) -> None:
        self._home = home()
        # The lock is reentrant: the garbage collector may close the pool at any moment.
        self._condition = threading.Condition(threading.RLock())
        self._queues: dict[str, deque[Callable[[], None]]] = {}  # Of each holder.
        self._futures: dict[int, Future[Any]] = {}
        self._ready: deque[tuple[Callable[[], None], str]] = deque()
        self._threads: set[threading.Thread] = set()
        self._available = 0  # Threads that wait for work, or have just been started.
        self._places_in_use = 0
        self._places_of: Counter[str] = Counter()
        self._number = 0
        self._closed = False

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Run a function as soon as there is a place.

        Returns:
            The future of its result. It gets :class:`Busy` if there will be no place.

        Raises:
            RuntimeError: the pool is closed.
        """
        return self.submit_for("", fn, *args, **kwargs)

    def share(self, holder: str) -> Share:
        """Return an executor for the functions of one holder."""
        return Share(self, holder)

    def submit_for(self, holder: str, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Do the same as :meth:`submit`, for a holder."""
        if self.is_parents:  # A child has no threads of its parent, and one of those may hold the lock.
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

        with self._condition:
            if self._closed:
                raise RuntimeError("the threads for handlers have ended")
            self._queues.setdefault(holder, deque()).append(work)
            self._futures[id(work)] = future
            hopeless = self._assign()
        self._refuse(hopeless)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more functions.

        Parameters:
            wait: whether to wait until all threads have ended.
            cancel_futures: whether to cancel functions that have not begun.
        """
        if self.is_parents:
            self._begin_anew()
        with self._condition:
            self._closed = True
            queue = self._take_queue() if cancel_futures else []
            self._condition.notify_all()
            threads = list(self._threads)
        for future in queue:
            future.cancel()
        if wait:
            for thread in threads:
                if thread is not threading.current_thread():
                    thread.join()

    def threads(self) -> list[threading.Thread]:
        """List the threads."""
        with self._condition:
            return list(self._threads)

    @property
    def is_parents(self) -> bool:
        """Whether this process is a child, and the threads belong to its parent."""
        return self._home is not home()

    # --- waiting ------------------------------------------------------------------------------------------------

    def begin_wait(self, place: Place) -> None:
        """Note that the handler of a place waits for the other side. It may wait for several answers at once."""
        with self._condition:
            place.waits += 1
            if place.waits > 1 or place.is_over:
                return
            self._count(place.holder, -1)
            hopeless = self._assign()
        self._refuse(hopeless)

    def end_wait(self, place: Place) -> None:
        """Note that the handler of a place goes on. It waits for no place, although another handler may have taken its
        own."""
        with self._condition:
            place.waits -= 1
            if place.waits == 0 and not place.is_over:
                self._count(place.holder, 1)

    # --- the lock is held ------------------------------------------------------------------------------------------

    def _assign(self) -> list[Future[Any]]:
        """Give free places to functions that wait. Return the futures of functions that will never get one."""
        while self._places_in_use < self._places and (holder := self._next_holder()) is not None:
            if len(self._ready) >= self._available and not self._start_thread():
                break
            self._condition.notify()
            self._count(holder, 1)
            queue = self._queues[holder]
            work = queue.popleft()
            if not queue:
                del self._queues[holder]
            self._futures.pop(id(work), None)
            self._ready.append((work, holder))
        return self._take_queue() if self._queues and self._places_in_use == 0 else []

    def _next_holder(self) -> str | None:
        """Return who gets the next place, of those that wait: whoever has the fewest, if it may have another one."""
        holder = min(self._queues, key=self._places_of.__getitem__, default=None)
        return None if holder is None or self._places_of[holder] >= self._share else holder

    def _count(self, holder: str, places: int) -> None:
        self._places_in_use += places
        self._places_of[holder] += places
        if not self._places_of[holder]:
            del self._places_of[holder]

    def _take_queue(self) -> list[Future[Any]]:
        futures = [self._futures.pop(id(work)) for queue in self._queues.values() for work in queue]
        self._queues.clear()
        return futures

    def _start_thread(self) -> bool:
        if len(self._threads) >= self._most:
            return False
        self._number += 1
        thread = threading.Thread(target=self._serve, name=f"{self._name}_{self._number}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # The system has no more threads.
            return False
        self._threads.add(thread)
        self._available += 1
        return True

    # --- the lock is not held
    # ---------------------------------------------------------------------------------------------

    def _refuse(self, futures: list[Future[Any]]) -> None:
        for future in futures:
            if future.set_running_or_notify_cancel():
                text = f"all {self._most} threads for handlers wait for answers of calls of their own"
                future.set_exception(Busy(f"{text}: calls go back and forth too deeply, or too many come at once"))

    def _serve(self) -> None:
        while (work := self._next()) is not None:
            self._run(*work)
            del work  # Keep nothing of it while waiting for the next one.
            if self.is_parents:
                return  # The handler has forked, and this is the child.

    def _next(self) -> tuple[Callable[[], None], str] | None:
        with self._condition:
            self._condition.wait_for(lambda: self._ready or self._closed, IDLE_S)
            self._available -= 1
            if self._ready:
                return self._ready.popleft()
            self._threads.discard(threading.current_thread())
            return None

    def _run(self, work: Callable[[], None], holder: str) -> None:
        place = _here.place = Place(self, holder)
        try:
            work()
        finally:
            _here.place = None
            if not self.is_parents:
                self._free(place)

    def _free(self, place: Place) -> None:
        with self._condition:
            place.is_over = True
            if place.waits == 0:
                self._count(place.holder, -1)
            self._available += 1
            hopeless = self._assign()
        self._refuse(hopeless)
