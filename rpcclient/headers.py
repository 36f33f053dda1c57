"""Headers that a user adds to the request that opens the WebSocket."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from functools import partial

from rpcwire.errors import ConnectFailed
from rpcwire.limits import MESSAGE_BYTES_HEADER

Headers = Mapping[str, str]
HeadersChoice = Headers | Callable[[], Headers]
"""Headers, or a function that makes them for each connection, such as signatures with a time, or tokens that expire."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_OWN = frozenset({
    "host", "upgrade", "connection", "user-agent", "content-length", "transfer-encoding", "te", "trailer",
    MESSAGE_BYTES_HEADER.lower(),
})  # fmt: skip
_OWN_BEGINNING = "sec-websocket-"
AUTHORIZATION = "authorization"
_SECRET = re.compile(r"authorization|cookie|token|secret|passw|api-?key|access-?key|credential", re.IGNORECASE)
_NO_COROUTINE = "the function that makes them must be a plain function, not a coroutine"


def is_secret(name: str) -> bool:
    """Return whether the value of a header proves who is calling, by its name: Authorization, Cookie, X-API-Key, …"""
    return _SECRET.search(name) is not None


def check_headers(headers: Headers, *, token_in_header: bool) -> dict[str, str]:
    """Return the headers, after checking that they can be sent.

    Parameters:
        headers: values by name.
        token_in_header: whether the token goes into Authorization.

    Raises:
        ConnectFailed: a name or a value is malformed (RFC 9110, section 5), or the client sets that header itself.
    """
    if not isinstance(headers, Mapping):
        raise _wrong("give a mapping of names to values")
    fields: dict[str, str] = {}
    for name, value in headers.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise _wrong(f"{_beginning(name)} is not a name of a header")
        lower = name.lower()
        if lower in _OWN or lower.startswith(_OWN_BEGINNING):
            raise _wrong(f"{name}: the client sets it itself: leave it out")
        if lower == "proxy-authorization":
            raise _wrong(f"{name}: it would go to the server: write proxy='http://NAME:PASSWORD@HOST:PORT'")
        if lower == AUTHORIZATION and token_in_header:
            raise _wrong(
                f"{name}: the token goes into it: send the token with token_by='call', or leave this header out"
            )
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise _wrong(f"{name}: its value must be one line of printable ASCII")
        fields[name] = value.strip(" \t")
    return fields


def prepare_headers(choice: HeadersChoice, *, token_in_header: bool) -> HeadersChoice:
    """Check headers now, or have them checked when a function makes them for a connection.

    Parameters:
        choice: the headers, or the function that makes them.
        token_in_header: whether the token goes into Authorization.

    Raises:
        ConnectFailed: as :func:`check_headers`.
    """
    if callable(choice):
        if inspect.iscoroutinefunction(choice):
            raise _wrong(_NO_COROUTINE)
        return partial(_make_headers, choice, token_in_header=token_in_header)
    return check_headers(choice, token_in_header=token_in_header)


def _make_headers(make: Callable[[], Headers], *, token_in_header: bool) -> Headers:
    try:
        headers = make()
    except Exception as exc:
        raise _wrong(f"the function that makes them failed: {type(exc).__name__}: {exc}") from exc
    if inspect.iscoroutine(headers):
        headers.close()  # Python would warn that nobody has awaited it.
        raise _wrong(_NO_COROUTINE)
    return check_headers(headers, token_in_header=token_in_header)


def _beginning(name: object) -> str:
    """Quote only the beginning of a wrong name: if somebody has forgotten the colon, the rest is a secret value."""
    if not isinstance(name, str):
        return f"{type(name).__name__} (names are str)"
    good = _NAME.match(name)
    return repr((good.group() if good else "") + "…") if name else "''"


def headers_of(text: str) -> dict[str, str]:
    """Read headers from lines ``Name: value``, as ``RPC_HEADERS`` and the command line give them.

    Raises:
        ConnectFailed: a line has another form.
    """
    headers: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, colon, value = line.partition(":")
        if not colon:
            raise _wrong("write one `Name: value` per line")
        headers[name.strip()] = value.strip()
    return headers


def public_headers_of(text: str, place: str, remedy: str) -> dict[str, str]:
    """Read headers from a place that others can read, as :func:`headers_of` does.

    Parameters:
        text: lines ``Name: value``.
        place: what others do with the place, for the message.
        remedy: where headers that prove who is calling go instead.

    Raises:
        ConnectFailed: a line has another form, or one of the headers proves who is calling.
    """
    headers = headers_of(text)
    for name in filter(is_secret, headers):
        raise _wrong(f"{_beginning(name)}: {place}: {remedy}")
    return headers


def _wrong(text: str) -> ConnectFailed:
    return ConnectFailed(f"headers: {text}", retryable=False)
