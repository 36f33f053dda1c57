"""The table in docs/server.md of what a reload does with each setting, made from the rules of the code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rpcserver.reload.keys import RULES, Rule
from rpcserver.reload.reloading import takes_part
from rpcwire.service import Service

BEGIN, END = "<!-- `make stubs` writes this table. -->\n", "<!-- The end of the table. -->\n"


def rows(services: Iterable[type[Service[Any]]]) -> Iterator[tuple[str, str, str]]:
    """The keys of each row, when they hold, and why not at once."""
    groups: dict[tuple[str, Rule], list[str]] = {}
    for path, rule in RULES.items():
        if path != ("services",):
            groups.setdefault((path[0] if len(path) > 1 else "", rule), []).append(path[-1])
    for (table, rule), keys in groups.items():
        names = ", ".join(f"`{key}`" for key in keys)
        yield (f"`[{table}]` {names}" if table else names), rule.effect.value, rule.reason
    for service in sorted(services, key=lambda each: each.name):
        assert takes_part(service), f"{service.name} takes no part in reloads: say so in the table"
        reasons: dict[str, list[str]] = {}
        for key, reason in service.restart_keys.items():
            reasons.setdefault(reason, []).append(key)
        yield f"`[services.{service.name}]`{' all other keys' if reasons else ''}", "at once", ""
        for reason, keys in reasons.items():
            yield f"`[services.{service.name}]` {', '.join(f'`{key}`' for key in keys)}", "restart", reason


def write_table(document: str, services: Iterable[type[Service[Any]]]) -> str:
    """The document with the table as it must be."""
    head, _, rest = document.partition(BEGIN)
    _, _, tail = rest.partition(END)
    lines = ["| Keys | New values hold | Why |", "|---|---|---|"]
    effects = {"at once": "at once", "new connections": "for new connections", "restart": "after a restart"}
    lines += [f"| {keys} | {effects[effect]} | {reason} |" for keys, effect, reason in rows(services)]
    return f"{head}{BEGIN}\n" + "\n".join(lines) + f"\n\n{END}{tail}"
