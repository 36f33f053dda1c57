"""A service of one file, with an event: whoever follows it hears of alarms on all nodes. `make cluster` offers it."""

from rpcserver import Service, event, method


class Alarm(Service):
    """Alarms."""

    @method()
    async def ring(self, text: str) -> None:
        """Tell everybody."""
        self.rung(text)

    @event()
    def rung(self, text: str) -> None:
        """Somebody rings."""
