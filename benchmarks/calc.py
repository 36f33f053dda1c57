"""The service that the benchmarks call."""

from collections.abc import AsyncIterator

from typing_extensions import TypedDict

from rpcserver import Service, method


class Reading(TypedDict):
    """A small item of a stream."""

    at: int
    value: float


class Calc(Service):
    """Arithmetic, small enough to measure the way there and back alone."""

    @method(kind="read")
    async def add(self, a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @method(kind="read")
    async def count(self, to: int) -> AsyncIterator[Reading]:
        """Count up, with a small item for each number."""
        for at in range(to):
            yield {"at": at, "value": at / 2}
