"""The kinds of events in the log that have an id of their own, by which the journal finds them
(systemd.journal-fields(7)).

An id belongs to a kind for good, whatever its words are later: never change one, and never use one again.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """A kind of event.

    Attributes:
        name: its name.
        message_id: its id: 128 random bits, in hexadecimal digits (sd-id128(3)).
        template: the text with which it is logged, with places for values. A test finds it in the code.
        fields: the fields that the first of these values are, by name.
        subject: what has happened, for the catalog of the journal.
        explanation: what it means, and what an operator can do. ``@FIELD@`` stands for the value of a field.
    """

    name: str
    message_id: str
    template: str
    fields: tuple[str, ...]
    subject: str
    explanation: str


EVENTS = (
    Event(
        "connected",
        "0fc6ee8bd516445e8b0f6b5bad63456f",
        "%s %s connected, %s",
        ("CONNECTION", "CLIENT", "SUBPROTOCOL"),
        "A client has connected",
        'The handshake of a WebSocket is done. Who the client is tells a line of the kind "authenticated".',
    ),
    Event(
        "authenticated",
        "c8eb11e46e33457099d76281e6757277",
        "%s is %s by %s",
        ("CONNECTION", "PRINCIPAL", "AUTHENTICATION"),
        "A client has authenticated",
        "The connection belongs to @PRINCIPAL@ now. The roles of the configuration say what they may do; "
        "`rpcserver permissions` explains it.",
    ),
    Event(
        "disconnected",
        "1b00064e42df47bd84a6c59536183340",
        "%s %s disconnected: %s",
        ("CONNECTION", "CLIENT", "REASON"),
        "A connection has ended",
        "Calls of this connection have ended. Kept programs go on.",
    ),
    Event(
        "dismissed",
        "e3f5f4b922d3412ba412a9094d526f17",
        "%s %s is disconnected: %s",
        ("CONNECTION", "CLIENT", "REASON"),
        "The server ends a connection",
        "The client has broken rules, or its credentials have ended.",
    ),
    Event(
        "authentication-failed",
        "c3847211e7784f34a26dc49b2d3e8acc",
        "%s refused: %s (more within %g s are only counted)",
        ("CLIENT", "REASON"),
        "A client was refused: it could not say who it is",
        "A token is wrong, has expired, or is not accepted from this address. `rpcserver token list` "
        "shows the tokens that the server knows. Many such lines from one address mean that somebody "
        "guesses.",
    ),
    Event(
        "authentication-failures",
        "9043dbf1a7b244afb9591a03ae71c2c0",
        "%d more wrong attempts to authenticate within %g s, from %d%s addresses; %s has made %d in all",
        (),
        "Many attempts to authenticate have failed",
        "Somebody guesses tokens, or many clients have an old one. Addresses that fail often have to wait.",
    ),
    Event(
        "call-failed",
        "db051485bfee4fd78627d172ba0d25aa",
        "%s failed, incident %s",
        ("METHOD", "INCIDENT"),
        "A method has failed in a way that it does not declare",
        "The caller got the number @INCIDENT@, and no more. The traceback in this entry says what has "
        "happened; it is a fault of the service, or of what the service uses.",
    ),
    Event(
        "result-not-sendable",
        "faac561f58c1403a8b3e5ca92402fc01",
        "%s gave something that cannot be sent",
        ("METHOD",),
        "A method has returned something that cannot be sent",
        "The result is not of the type that the method declares, or has no form on the wire. It is a "
        "fault of the service.",
    ),
    Event(
        "health-check-failed",
        "5bdf5f5dd48748c79b43b6e19f819037",
        "the health check of %s failed",
        ("SERVICE",),
        "The health check of a service has failed",
        "/readyz tells that the server is not ready while a service is unwell.",
    ),
    Event(
        "service-not-stopped",
        "976b9afbd91c40a0be994f91abd6a5fb",
        "the service %s did not stop cleanly",
        ("SERVICE",),
        "A service has failed while it stopped",
        "What it had open may not be closed. The traceback in this entry says why.",
    ),
    Event(
        "start-failed",
        "0d5ae09fd78a485ead87379494d1ff96",
        "the server cannot start: %s: %s",
        (),
        "The server cannot start",
        "The message names the reason. `rpcserver config check --connect` checks the configuration, the "
        "files that it names, and databases.",
    ),
    Event(
        "stopping",
        "cb2847647f7f4a678a11675814461962",
        "%s: stopping; running calls have %g s",
        ("SIGNAL",),
        "The server stops",
        "It takes no new calls. Running ones have the time of grace_s to end.",
    ),
    Event(
        "stopped",
        "e099908743ec458ca18bf4a7c0b625c7",
        "stopped",
        (),
        "The server has stopped",
        "All connections are closed.",
    ),
    Event(
        "handlers-stuck",
        "5f84bb2ef53d49f08a928d6a13865cdb",
        "exiting although %s do not end",
        ("REASON",),
        "The server exits although methods still run",
        "Methods have not ended in time, although they were asked to.",
    ),
    Event(
        "reloaded",
        "0f1cc7e22e2c433eba0542bb8877e8aa",
        "reloaded: %s",
        (),
        "The configuration was reloaded",
        "The message names what has changed, and what needs a restart.",
    ),
    Event(
        "reload-refused",
        "4659746c048e4d2d9275e881407b8743",
        "the configuration is not reloaded, and nothing has changed: %s",
        ("REASON",),
        "The configuration was not reloaded",
        "It has a fault, which the message names with its place. Everything goes on as before; mend it, and reload "
        "again. `rpcserver config check` tells the same beforehand.",
    ),
    Event(
        "certificates-changed",
        "cd97cbf4e00e4631af016a4a724261b9",
        "new certificates are in use for new connections",
        (),
        "New certificates are in use",
        "Connections that are open keep the old ones.",
    ),
    Event(
        "certificates-refused",
        "4d41e4e95178462eb19000724ad1ccab",
        "new certificates are not used, and the old ones stay in use: %s",
        ("REASON",),
        "New certificates cannot be used",
        "The old ones stay in use, until they expire. Mend the files that the message names: the server "
        "looks at them again when they change.",
    ),
    Event(
        "tokens-changed",
        "f25bc7f5865f4b7cbdfec8abb7ba3bf6",
        "the named tokens have changed",
        (),
        "The named tokens have changed",
        "Somebody has made, changed or revoked tokens. Connections of revoked ones have ended.",
    ),
    Event(
        "descriptors-short",
        "c92d6ed50ac7498fb4234ea03a33d1fc",
        "connections that have not authenticated give way, because few of the %d open files that the "
        "system allows are free: raise the limit (ulimit -n, LimitNOFILE=)",
        (),
        "Few open files are left",
        "Clients that have not authenticated are refused. Raise LimitNOFILE= of the unit, or find who "
        "opens so many connections: `rpcserver limits`.",
    ),
    Event(
        "accept-failed",
        "0fe60ea615a44538b1e942c80b4ec2e5",
        "connections cannot be accepted: %s: raise the limit of open files (ulimit -n)",
        ("REASON",),
        "No connection can be accepted",
        "The process has as many open files as it may have. Raise LimitNOFILE= of the unit.",
    ),
    Event(
        "loop-stalled",
        "c6403b59e36a491d8025385a9cdd0ec9",
        "the event loop stalled for %.0f ms, the longest time of late",
        ("STALL_MS",),
        "The server answered nobody for a while",
        "A service blocks the event loop, or the machine is overloaded. Methods that block should be "
        "plain functions: they run in threads.",
    ),
    Event(
        "audit-failed",
        "4737f8f1e374435aac10abd8fc78a8fa",
        "the audit log cannot be written: %s: free space in %s",
        ("REASON", "FOLDER"),
        "The audit log cannot be written",
        "Lines of it are lost from now on, or calls are refused, as audit.when_full says. Free space in @FOLDER@.",
    ),
    Event(
        "audit-restored",
        "c566d38d39a842d1ba6820bbfb7e8f03",
        "the audit log is written again; %d lines are lost since the start",
        (),
        "The audit log is written again",
        "Calls that were refused because of it are let in again.",
    ),
    Event(
        "audit-cut",
        "2793c45052dc4065ae6084d251c71d7c",
        "the audit log ends with line %d, and audit.head_file knows line %d: its end was cut off or changed",
        (),
        "The audit log was cut off or changed",
        "Lines at its end are missing that the file of audit.head_file knows. `rpcserver audit verify` "
        "names the first line that is wrong. Find out who could write to its folder.",
    ),
    Event(
        "program-rights-ended",
        "be387b49916b48cfbad951b18dd8b6cb",
        "%s of %s is ended: %s may run no programs any more",
        ("PROGRAM", "PRINCIPAL"),
        "A program is ended, because its owner may run none any more",
        "The owner's role or token has changed.",
    ),
    Event(
        "lines-left-out",
        "30eb729f04f141e68b433ec902fb823b",
        "%d more lines like this one were left out in %.0f s: %s",
        (),
        "Lines of the log were left out",
        "Somebody causes many similar lines. The limit keeps the log readable and bounded.",
    ),
)
"""All of them."""

BY_TEMPLATE = {event.template: event for event in EVENTS}


def make_catalog() -> Iterator[str]:
    """Write the catalog of the journal, line by line (journalctl -x; https://systemd.io/CATALOG)."""
    yield "# Explanations of what rpcserver logs. `make stubs` generates them from rpcserver/daemon/events.py."
    for event in EVENTS:
        yield ""
        yield f"-- {event.message_id}"
        yield f"Subject: {event.subject}"
        yield "Defined-By: rpcserver"
        yield "Documentation: man:rpcserver(8)"
        yield ""
        yield from textwrap.wrap(event.explanation, 100)
