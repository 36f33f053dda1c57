"""Which nodes a command is for, and how they are asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

EVERYONE = ("all", "*")
"""What ``--on`` takes for all nodes."""


@dataclass(frozen=True)
class Many:
    """The options of a command on many nodes.

    Attributes:
        on: the selector, or one of :data:`EVERYONE`.
        names: the names of the nodes, with ranges.
        gather: put identical answers together.
        parallel, rolling, stop_after_failures, canary: as of :class:`rpcwire.group.outcomes.Policy`; ``rolling`` is its
            ``batch``.
    """

    on: str | None = None
    names: tuple[str, ...] = ()
    gather: bool = False
    parallel: int | None = None
    rolling: int | None = None
    stop_after_failures: int | None = None
    canary: int | None = None

    @property
    def is_given(self) -> bool:
        """Whether the command is for many nodes.

        Raises:
            click.UsageError: there are options that need a selector or names, and neither is there; or both are.
        """
        if self.on is not None and self.names:
            raise click.UsageError("--on and --nodes exclude each other: write --on 'name in (a,b),role=web'")
        if self.on is None and not self.names:
            if self != Many():
                raise click.UsageError("say for which nodes: --on SELECTOR, --on all, or --nodes NAME,NAME")
            return False
        return True

    def target(self) -> dict[str, Any]:
        """The nodes, as ``rpc.call_nodes`` takes them.

        Raises:
            click.UsageError: it cannot be read.
        """
        from rpcwire.group.selectors import InvalidSelector, Names, parse

        if self.on in EVERYONE:
            return {"everyone": True}
        try:
            if self.on is not None:
                parse(self.on)
                return {"selector": self.on}
            from .ranges import unfold

            return {"names": list(Names(tuple(name for text in self.names for name in unfold(text))).names)}
        except InvalidSelector as exc:
            raise click.UsageError(f"{'--nodes' if self.on is None else '--on'}: {exc}") from None
        except ValueError as exc:
            raise click.UsageError(f"--nodes: {exc}") from None

    def policy(self) -> dict[str, int]:
        """How the nodes are asked, as ``rpc.call_nodes`` takes it.

        Raises:
            click.UsageError: two options exclude each other.
        """
        if self.parallel is not None and self.rolling is not None:
            raise click.UsageError("--parallel and --rolling exclude each other: --rolling N asks N at a time, too")
        stop_after = self.stop_after_failures
        if stop_after is None and self.rolling is not None:
            stop_after = 1
        options = {
            "parallel": self.parallel,
            "batch": self.rolling,
            "stop_after_failures": stop_after,
            "canary": self.canary,
        }
        return {name: number for name, number in options.items() if number is not None}
