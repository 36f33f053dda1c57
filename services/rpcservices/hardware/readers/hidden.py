"""Whether the system hides processes of other users from the server (proc(5), the mount option ``hidepid``)."""

from __future__ import annotations

import os
from pathlib import Path

from .mounts import MountTable
from .places import text

HIDDEN = "denied: the system shows the server's user no processes of others (hidepid)"
_HIDING = {"2": False, "invisible": False, "4": True, "ptraceable": True}
"""Values of the option that take processes out of the list, and whether the group that may see them does not count."""
_MAY_TRACE = 1 << 19
"""Of the capabilities of a process: CAP_SYS_PTRACE (capabilities(7))."""


def _options(table: bytes) -> dict[str, str]:
    """The options of what is mounted last at ``/proc``."""
    found: dict[str, str] = {}
    for line in table.decode("ascii", "replace").splitlines():
        fields, _, rest = line.partition(" - ")
        words, ends = fields.split(" "), rest.split(" ")
        if len(words) > 4 and words[4] == "/proc" and len(ends) > 2 and ends[0] == "proc":
            found = {name: value for name, _, value in (word.partition("=") for word in ends[2].split(","))}
    return found


_OPTIONS = MountTable(_options)


def hidden_from(options: dict[str, str], capabilities: int, groups: frozenset[int]) -> bool:
    """Whether processes of others are hidden from somebody.

    Parameters:
        options: of the mount at ``/proc``.
        capabilities: what the process may do, as a set of bits.
        groups: the numbers of its groups.
    """
    strict = _HIDING.get(options.get("hidepid", "0"))
    if strict is None or capabilities & _MAY_TRACE:
        return False
    seeing = options.get("gid", "")
    return strict or not (seeing.isdigit() and int(seeing) in groups)


def why_hidden() -> str:
    """Why not all processes are listed; empty where all are."""
    try:
        options = _OPTIONS.now()
    except OSError:
        return ""
    if not options.get("hidepid"):
        return ""
    said = (text(Path("/proc/self/status")) or "").splitlines()
    bits = next((line.split()[1] for line in said if line.startswith("CapEff:")), "0")
    groups = frozenset((os.getegid(), *os.getgroups()))
    return HIDDEN if hidden_from(options, int(bits, 16), groups) else ""
