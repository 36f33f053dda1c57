"""Whether the system hides processes of other users from the server (proc(5), the mount option ``hidepid``)."""

from __future__ import annotations

import os
from pathlib import Path

from .mounts import MountTable
from .places import text

DENIAL = "denied: the system shows the server's user no processes of others (hidepid)"
_HIDING = {"2": False, "invisible": False, "4": True, "ptraceable": True}
"""The values of the option that hide processes, and for each whether it also hides them from the group that ``gid=``
names."""
_MAY_TRACE = 1 << 19
"""The bit of CAP_SYS_PTRACE (capabilities(7))."""


def _options(table: bytes) -> dict[str, str]:
    """The options of the last mount at ``/proc``."""
    options: dict[str, str] = {}
    for line in table.decode("ascii", "replace").splitlines():
        fields, _, rest = line.partition(" - ")
        words, ends = fields.split(" "), rest.split(" ")
        if len(words) > 4 and words[4] == "/proc" and len(ends) > 2 and ends[0] == "proc":
            options = {name: value for name, _, value in (word.partition("=") for word in ends[2].split(","))}
    return options


_OPTIONS = MountTable(_options)


def hidden_from(options: dict[str, str], capabilities: int, groups: frozenset[int]) -> bool:
    """Whether a process cannot see the processes of other users.

    Parameters:
        options: the options of the mount at ``/proc``.
        capabilities: the process's capabilities, as a set of bits.
        groups: the numbers of its groups.
    """
    strict = _HIDING.get(options.get("hidepid", "0"))
    if strict is None or capabilities & _MAY_TRACE:
        return False
    seeing = options.get("gid", "")
    return strict or not (seeing.isdigit() and int(seeing) in groups)


def why_hidden() -> str:
    """Why the list of processes is not complete; an empty text where it is."""
    try:
        options = _OPTIONS.now()
    except OSError:
        return ""
    if not options.get("hidepid"):
        return ""
    status = (text(Path("/proc/self/status")) or "").splitlines()
    bits = next((line.split()[1] for line in status if line.startswith("CapEff:")), "0")
    groups = frozenset((os.getegid(), *os.getgroups()))
    return DENIAL if hidden_from(options, int(bits, 16), groups) else ""
