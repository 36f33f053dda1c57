"""The service that the benchmarks call."""

from rpcserver import Service, method


class Calc(Service):
    """Arithmetic, small enough to measure the way there and back alone."""

    @method(kind="read")
    async def add(self, a: int, b: int) -> int:
        """Add two numbers."""
        return a + b
