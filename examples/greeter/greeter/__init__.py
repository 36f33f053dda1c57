"""Says hello: an example of a service plugin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from pydantic import Field

from rpcserver import Health, Service, ServiceConfig, ServiceError, method


class GreeterConfig(ServiceConfig):
    """How to greet."""

    greeting: str = Field(default="Hello", description="What comes before the name.")
    strangers: tuple[str, ...] = Field(default=(), description="Who is not greeted.")


class Stranger(ServiceError):
    """This person is not greeted."""

    name: str


class Greeter(Service[GreeterConfig]):
    """Says hello."""

    @method(permission="greeter.hello", kind="read", errors=(Stranger,))
    async def hello(self, name: str) -> str:
        """Greet one person.

        Parameters:
            name: whom.

        Raises:
            Stranger: the configuration says not to.
        """
        if name in self.config.strangers:
            raise Stranger(f"name: {name} is not greeted here", name=name)
        return f"{self.config.greeting}, {name}!"

    @method(permission="greeter.hello", kind="read")
    async def count_in(self, name: str, *, beats: int = 4, pause_s: float = 0.0) -> AsyncIterator[str]:
        """Count, then greet.

        Parameters:
            name: whom.
            beats: how far to count.
            pause_s: time between two beats, in seconds.
        """
        for beat in range(1, beats + 1):
            yield str(beat)
            await asyncio.sleep(pause_s)
        yield f"{self.config.greeting}, {name}!"

    async def health(self) -> Health:
        """A greeter without a greeting is of no use."""
        return Health() if self.config.greeting else Health(ok=False, reason="greeting: empty")
