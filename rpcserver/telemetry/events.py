"""What is told of the events that services publish."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from .exposition import Family


class Use(Protocol):
    """How much an event is used, as :class:`~rpcserver.events.exchange.Use` is."""

    @property
    def name(self) -> str:
        """The full name of the event."""
        ...

    @property
    def publications(self) -> int:
        """How often it was published."""
        ...

    @property
    def followers(self) -> int:
        """How many clients follow it at this server alone."""
        ...

    @property
    def wishes(self) -> int:
        """How many clients follow it at several nodes."""
        ...


class Events(Protocol):
    """The events of a server, as :class:`~rpcserver.events.exchange.Exchange` has them."""

    def uses(self) -> Sequence[Use]:
        """Return how much each is used."""
        ...

    def losses(self) -> Mapping[str, int]:
        """Return how many clients have not got, by the reason."""
        ...


def families(events: Events) -> Iterator[Family]:
    """Yield the metrics of events.

    Parameters:
        events: the events of the server.
    """
    publications = Family("rpcserver_events_published_total", "counter", "Events that services have published.")
    followers = Family(
        "rpcserver_event_followers", "gauge",
        "Clients that follow an event: of this server alone (node), or of several nodes (group).",
    )  # fmt: skip
    for use in events.uses():
        publications.add(use.publications, {"event": use.name})
        followers.add(use.followers, {"event": use.name, "of": "node"})
        followers.add(use.wishes, {"event": use.name, "of": "group"})
    losses = Family(
        "rpcserver_events_lost_total", "counter",
        "Events that own clients have not got: they were too slow, or the event was lost on the way from its node.",
    )  # fmt: skip
    for reason, number in sorted(events.losses().items()):
        losses.add(number, {"reason": reason})
    yield from (publications, followers, losses)
