"""Counts calls, notifications and streams by method and outcome, and how long calls take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from time import monotonic_ns

from rpcwire.context import Connection
from rpcwire.events import IncomingCall
from rpcwire.outcomes import ANSWER_FIELDS, Answers, Outcome
from rpcwire.registry import Offers

from .exposition import Family
from .histogram import Histogram

UNKNOWN = "(unknown)"
"""Stands for all methods that do not exist: their callers may write anything."""

MOST_OUTCOMES = 40
"""The most outcomes of one method that are told apart: a handler may pass on errors whose types others have chosen."""

OTHER = "(other)"
"""Stands for the outcomes beyond these."""


class CallMeter:
    """Counts calls (:class:`~rpcwire.outcomes.Meter`). Of a call that was answered it only notes how long it took; the
    rest is done for many calls together, by :meth:`fold`. It belongs to the thread of the event loop.

    Parameters:
        offers: the methods.
    """

    def __init__(self, offers: Offers) -> None:
        self._offers = offers
        self._recent_ns: dict[str, list[int]] = _Lists()
        self._answer_times: dict[str, Histogram] = {}
        self._failure_times: dict[str, Histogram] = {}
        self._failures: dict[str, Counter[str]] = {}
        self._notifications: dict[str, Counter[str]] = {}
        self._streams: dict[str, Counter[str]] = {}
        self._items_sent: Counter[str] = Counter()
        self._items_received: Counter[str] = Counter()
        self._own_calls: Counter[str] = Counter()

    def answered(self, connection: Connection, call: IncomingCall, sent_bytes: int) -> None:  # noqa: ARG002
        """Note that a call was answered."""
        self._recent_ns[call.method].append(monotonic_ns() - call.arrived_ns)  # type: ignore[operator]

    def answered_together(self, connection: Connection, answers: Answers) -> None:
        """Note that calls of one frame were answered. They have taken the same time."""
        if len(answers) == ANSWER_FIELDS:
            self.answered(connection, answers[1], answers[2])
            return
        duration_ns = monotonic_ns() - answers[1].arrived_ns
        offers = answers[::ANSWER_FIELDS]
        if offers.count(offers[0]) == len(offers):
            self._recent_ns[offers[0].name] += [duration_ns] * len(offers)
        else:
            for offer in offers:
                self._recent_ns[offer.name].append(duration_ns)

    def ended(self, outcome: Outcome) -> None:
        """Count any other outcome."""
        name = UNKNOWN if outcome.kind is None else outcome.method
        what = "ok" if outcome.error is None else outcome.error.type
        match outcome.subject:
            case "call":
                _count(self._failures, name, what)
                histogram = self._failure_times.get(name)
                if histogram is None:
                    histogram = self._failure_times[name] = Histogram()
                histogram.add_all([int(outcome.duration_s * 1e9)])
            case "notification":
                _count(self._notifications, name, what)
            case "stream":
                _count(self._streams, name, what)
                self._items_sent[name] += outcome.items
            case "upload":
                self._items_received[name] += outcome.items
            case "own call" | "own notification":
                self._own_calls["ok" if outcome.error is None else "error"] += 1

    def fold(self) -> None:
        """Count the calls that were answered since the last time."""
        for name, durations in self._recent_ns.items():
            if durations:
                histogram = self._answer_times.get(name)
                if histogram is None:
                    histogram = self._answer_times[name] = Histogram()
                histogram.add_all(durations)
                durations.clear()

    def _kind(self, name: str) -> str:
        offer = self._offers.get(name)
        return "" if offer is None else offer.spec.options.kind

    def families(self) -> Iterator[Family]:
        """Yield the metrics of calls, notifications and streams."""
        self.fold()
        calls = Family("rpcserver_calls_total", "counter", "Calls that have ended, by method, kind and outcome.")
        for name, histogram in self._answer_times.items():
            calls.add(histogram.count, {"method": name, "kind": self._kind(name), "outcome": "ok"})
        for name, failures in self._failures.items():
            for what, number in failures.items():
                calls.add(number, {"method": name, "kind": self._kind(name), "outcome": what})
        yield calls
        seconds = Family(
            "rpcserver_call_duration_seconds", "histogram",
            "Time from the arrival of a call to its answer, by method, and whether it failed.",
        )  # fmt: skip
        for result, histograms in (("ok", self._answer_times), ("error", self._failure_times)):
            for name, histogram in histograms.items():
                histogram.show(seconds, {"method": name, "result": result})
        yield seconds
        for what, text, counts in (
            ("notifications", "Notifications whose handlers have ended, or that were refused.", self._notifications),
            ("streams", "Streams that answered calls and have ended.", self._streams),
        ):
            family = Family(f"rpcserver_{what}_total", "counter", text)
            for name, outcomes in counts.items():
                for outcome, number in outcomes.items():
                    family.add(number, {"method": name, "outcome": outcome})
            yield family
        for direction, items in (("sent", self._items_sent), ("received", self._items_received)):
            family = Family(
                f"rpcserver_stream_items_{direction}_total",
                "counter",
                f"Items {direction} over streams that have ended.",
            )
            for name, number in items.items():
                family.add(number, {"method": name})
            yield family
        own = Family("rpcserver_calls_to_clients_total", "counter", "Calls that services have made to clients.")
        for what, number in self._own_calls.items():
            own.add(number, {"result": what})
        yield own


class _Lists(dict[str, list[int]]):
    """Makes a list for each method that is called for the first time."""

    def __missing__(self, name: str) -> list[int]:
        durations_ns = self[name] = []
        return durations_ns


def _count(counters: dict[str, Counter[str]], name: str, what: str) -> None:
    counter = counters.get(name)
    if counter is None:
        counter = counters[name] = Counter()
    counter[what if what in counter or len(counter) < MOST_OUTCOMES else OTHER] += 1
