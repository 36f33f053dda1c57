"""What everybody may read about methods without signing in: the OpenRPC document of the services that the configuration
opens. It is a file to be fetched, so that a stranger needs no WebSocket, and nothing is made for each one."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, NamedTuple

from websockets.datastructures import Headers
from websockets.http11 import Response

from rpcserver.config import ConsoleConfig

from .files import has_current, make_headers, takes_gzip

PATH = "/openrpc.json"
"""Where the document is."""

EVERY_SERVICE = "*"
"""Stands for all services."""


class _Form(NamedTuple):
    """The document in one form."""

    body: bytes
    etag: str


class _Document(NamedTuple):
    """The document in both forms."""

    plain: _Form
    packed: _Form


class PublicDocs:
    """Answers requests for the document.

    Parameters:
        config: names the services.
        describe: returns the OpenRPC document of some services, by their names; of all if that is ``None``.
    """

    def __init__(
        self,
        config: ConsoleConfig,
        describe: Callable[[Collection[str] | None], Awaitable[Mapping[str, Any]]],
    ) -> None:
        self._config = config
        self._describe = describe
        self._document: _Document | None = None
        self._edition = 0  # Counts what makes a document old.
        self._lock = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        """Whether there is something that everybody may read."""
        return self._config.enabled and bool(self._config.public_docs)

    def change(self, config: ConsoleConfig) -> None:
        """Have other settings from now on.

        Parameters:
            config: the settings.
        """
        self._config = config
        self.forget()

    def forget(self) -> None:
        """Make the document anew when it is asked for again, because there are further methods."""
        self._document = None
        self._edition += 1

    async def answer(self, headers: Headers, *, head: bool) -> Response:
        """Make the answer to a request.

        Parameters:
            headers: those of the request.
            head: whether to leave the body out, for HEAD.
        """
        document = await self._make()
        is_packed = takes_gzip(headers)
        body, etag = document.packed if is_packed else document.plain
        fields = make_headers("application/json", len(body))
        fields["ETag"] = etag
        fields["Vary"] = "Accept-Encoding"
        del fields["Cache-Control"]
        fields["Cache-Control"] = "no-cache"
        if is_packed:
            fields["Content-Encoding"] = "gzip"
        if has_current(headers, etag):
            del fields["Content-Length"]
            return Response(304, "Not Modified", fields, b"")
        return Response(200, "OK", fields, b"" if head else body)

    async def _make(self) -> _Document:
        async with self._lock:
            while (document := self._document) is None:
                edition, services = self._edition, self._config.public_docs
                names = None if EVERY_SERVICE in services else services
                content = await self._describe(names)
                document = await asyncio.to_thread(_encode, content)
                if edition == self._edition:
                    self._document = document
            return document


def _encode(content: Mapping[str, Any]) -> _Document:
    """Write the document down. Strangers are not told which release of the server this is: in its place stands what
    tells this document from others."""
    methods = json.dumps(content, ensure_ascii=False).encode()
    version = hashlib.sha256(methods).hexdigest()[:12]
    info = {**content["info"], "version": version}
    plain = json.dumps({**content, "info": info}, ensure_ascii=False, separators=(",", ":")).encode()
    return _Document(_make_form(plain), _make_form(gzip.compress(plain, 9, mtime=0)))


def _make_form(body: bytes) -> _Form:
    return _Form(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
