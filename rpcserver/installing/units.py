"""Makes units of systemd fit the machine: pure functions."""

from __future__ import annotations

import re

RELOAD_BY_NOTIFICATION = 253
"""The version of systemd that brought ``Type=notify-reload`` (systemd.service(5))."""


def fit_unit(text: str, program: str, systemd: int | None) -> str:
    """Make a unit fit.

    Parameters:
        text: the unit as it is shipped.
        program: the path of the command ``rpcserver``.
        systemd: the version of systemd; ``None`` if nobody knows. Before 253 a reload is a signal, of which systemd
            does not hear how it ends.
    """
    text = text.replace("ExecStart=rpcserver ", f"ExecStart={quote(program)} ")
    if systemd is None or systemd < RELOAD_BY_NOTIFICATION:
        text = text.replace("Type=notify-reload\n", "Type=notify\n")
        return re.sub(r"(?m)^(ExecStart=.*)$", r"\1\nExecReload=/bin/kill -HUP $MAINPID", text)
    return text


def fit_socket(text: str, service: str) -> str:
    """Make the unit of the sockets start another service than ``rpcserver.service``.

    Parameters:
        text: the unit as it is shipped.
        service: the name of the service's unit.
    """
    if service == "rpcserver.service":
        return text
    return text.replace("[Socket]\n", f"[Socket]\nService={service}\n")


def quote(word: str) -> str:
    """Write a word as systemd reads it in a command line (systemd.service(5), "Command lines"; specifiers)."""
    word = word.replace("%", "%%")
    if re.fullmatch(r"[\w./+:@%-]+", word, re.ASCII):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def read_version(text: str) -> int | None:
    """Read the version of systemd from what ``systemctl --version`` prints; ``None`` if it is not there."""
    match = re.match(r"systemd (\d+)", text)
    return int(match[1]) if match else None
