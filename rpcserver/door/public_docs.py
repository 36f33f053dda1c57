"""What everybody may read about methods without signing in: the OpenRPC document of the services that the configuration
opens. It is a file to be fetched, so that a stranger needs no WebSocket, and nothing is made for each one."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from websockets.datastructures import Headers
from websockets.http11 import Response

from rpcserver.config import ConsoleConfig

from .files import has_current, make_headers, takes_gzip

PATH = "/openrpc.json"
"""Where the document is."""

EVERY_SERVICE = "*"
"""Stands for all services."""


@dataclass(frozen=True, slots=True)
class _Document:
    """The document in both forms."""

    plain: bytes
    packed: bytes


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
        self._document = None

    def forget(self) -> None:
        """Make the document anew when it is asked for again, because there are further methods."""
        self._document = None

    async def answer(self, headers: Headers, *, head: bool) -> Response:
        """Make the answer to a request.

        Parameters:
            headers: those of the request.
            head: whether to leave the body out, for HEAD.
        """
        document = await self._make()
        is_packed = takes_gzip(headers)
        body = document.packed if is_packed else document.plain
        fields = make_headers("application/json", len(body))
        fields["ETag"] = etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
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
                config = self._config
                names = None if EVERY_SERVICE in config.public_docs else config.public_docs
                content = await self._describe(names)
                document = await asyncio.to_thread(_encode, content)
                if config is self._config:
                    self._document = document
            return document


def _encode(content: Mapping[str, Any]) -> _Document:
    """Write the document down. Strangers are not told which release of the server this is: in its place stands what
    tells this document from others."""
    methods = json.dumps(content, ensure_ascii=False).encode()
    version = hashlib.sha256(methods).hexdigest()[:12]
    info = {**content["info"], "version": version}
    plain = json.dumps({**content, "info": info}, ensure_ascii=False, separators=(",", ":")).encode()
    return _Document(plain, gzip.compress(plain, 9, mtime=0))
