"""Folders of built files, such as the console: which file belongs to which address, and the headers of the answer.

What can be asked for is looked up in one dictionary, which is made when the folder is read. So no address leads
elsewhere."""

from __future__ import annotations

import email.utils
import hashlib
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from websockets.datastructures import Headers
from websockets.http11 import Response

from rpcwire.limits import ANSWER_HEADER
from rpcwire.service import Service

logger = logging.getLogger("rpcserver.door.pages")

INDEX = "index.html"
"""The file that answers the address of the folder itself."""

PUBLIC = "public.html"
"""The file of the console that stands for its index where everybody may read about methods. It names the document."""

CONSOLE = Path(__file__).parent.parent / "console_files"
"""Where the built console lies in an installation that has it."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""What a page of a folder may load, and from where: nothing from elsewhere, and no script within the page
(https://www.w3.org/TR/CSP3/)."""

_PREFERENCE = {"br": ".br", "gzip": ".gz"}
"""The forms in which a file may lie beside itself, the best first, and the ends of their names."""

_HASHED = re.compile(r"[.-][A-Za-z0-9_-]{8,}\.[a-z0-9.]+")
"""The end of a name that says what is in the file: another content has another name."""

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/vnd.microsoft.icon",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
    ".wasm": "application/wasm",
    ".txt": "text/plain; charset=utf-8",
}

_COMPRESSION = re.compile(r"\s*(?P<name>[a-z*-]+)\s*(?:;\s*q=(?P<weight>[0-9.]{1,5})\s*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Variant:
    """One form of a file.

    Attributes:
        path: where it lies.
        size_bytes: its size.
        etag: what tells apart its contents (RFC 9110, section 8.8.3).
    """

    path: Path
    size_bytes: int
    etag: str


@dataclass(frozen=True, slots=True)
class BuiltFile:
    """A file of a folder.

    Attributes:
        content_type: its type.
        caching: the value of ``Cache-Control``.
        variants: its forms, by the names of the compressions; that of ``identity`` is the file itself.
    """

    content_type: str
    caching: str
    variants: Mapping[str, Variant]

    def choose(self, accept_encoding: str) -> tuple[str, Variant]:
        """Choose the form for a client.

        Parameters:
            accept_encoding: the value of ``Accept-Encoding`` (RFC 9110, section 12.5.3); empty for none.

        Returns:
            The name of the compression, and the form.
        """
        weights = _read_weights(accept_encoding)
        for name in _PREFERENCE:
            if name in self.variants and _is_wanted(weights, name):
                return name, self.variants[name]
        return "identity", self.variants["identity"]


def _read_weights(accept_encoding: str) -> dict[str, str | None]:
    offers = map(_COMPRESSION.fullmatch, accept_encoding.split(","))
    return {offer["name"].lower(): offer["weight"] for offer in offers if offer is not None}


def _is_wanted(weights: Mapping[str, str | None], name: str) -> bool:
    weight = weights.get(name, "0")
    return weight is None or bool(weight.strip("0."))


def takes_gzip(headers: Headers) -> bool:
    """Return whether a client takes what is compressed by gzip.

    Parameters:
        headers: those of the request.
    """
    return _is_wanted(_read_weights(_accept_encoding(headers)), "gzip")


def has_current(headers: Headers, etag: str) -> bool:
    """Return whether a client has already what it asks for.

    Parameters:
        headers: those of the request.
        etag: what tells apart the contents that it would get.
    """
    known = [tag.strip().removeprefix("W/") for tag in ",".join(headers.get_all("If-None-Match")).split(",")]
    return etag in known or "*" in known


def _accept_encoding(headers: Headers) -> str:
    return ", ".join(headers.get_all("Accept-Encoding"))


class BuiltFiles:
    """The files of a folder. They are read once; whoever builds them anew starts the server anew.

    Parameters:
        folder: the folder.

    Raises:
        OSError: it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, BuiltFile] = {}
        paths = {
            path.relative_to(folder).as_posix(): path
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not path.is_symlink() and not path.name.startswith(".")
        }
        ends = tuple(_PREFERENCE.values())
        for name, path in paths.items():
            if name.endswith(ends) and name.rpartition(".")[0] in paths:
                continue  # It is a form of another one.
            variants = {"identity": _read(path)}
            variants.update(
                {form: _read(paths[name + end]) for form, end in _PREFERENCE.items() if name + end in paths}
            )
            caching = "no-cache"
            if name.rpartition("/")[2] == INDEX:
                caching = "no-store"
            elif _HASHED.search(name):
                caching = "public, max-age=31536000, immutable"
            self._files[name] = BuiltFile(_TYPES.get(path.suffix, "application/octet-stream"), caching, variants)

    def find(self, name: str) -> BuiltFile | None:
        """Return the file at an address below that of the folder; ``None`` if there is none.

        Parameters:
            name: what follows the address of the folder; empty for the folder itself. The end ``.html`` may be
                left out.
        """
        return self._files.get(name or INDEX) or self._files.get(f"{name}.html")


def folders_of(console: Path, services: Iterable[Service[Any]]) -> dict[str, BuiltFiles]:
    """Read the folders of the console, if there is one, and of services that have a page.

    Parameters:
        console: the folder of the console.
        services: the services.

    Returns:
        The folders by their paths.
    """
    folders = {"/": BuiltFiles(console)} if (console / INDEX).is_file() else {}
    for service in services:
        if service.page is not None:
            files = folders[f"/services/{service.name}/"] = BuiltFiles(service.page)
            if files.find("") is None:
                logger.warning("%s: its page has no %s in %s: build it", service.name, INDEX, service.page)
    return folders


def _read(path: Path) -> Variant:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
            size += len(piece)
    return Variant(path, size, f'"{digest.hexdigest()[:32]}"')


def head_of(file: BuiltFile, headers: Headers) -> tuple[Response, Path | None]:
    """Make the head of the answer with a file.

    Parameters:
        file: the file.
        headers: those of the request.

    Returns:
        The answer without its body, and the file with the body; ``None`` if the client has it already.
    """
    form, variant = file.choose(_accept_encoding(headers))
    status, path = (304, None) if has_current(headers, variant.etag) else (200, variant.path)
    fields = make_headers(file.content_type, variant.size_bytes)
    fields["ETag"] = variant.etag
    fields["Vary"] = "Accept, Accept-Encoding"
    del fields["Cache-Control"]
    fields["Cache-Control"] = file.caching
    if form != "identity":
        fields["Content-Encoding"] = form
    if path is None:
        del fields["Content-Length"]
    return Response(status, HTTPStatus(status).phrase, fields, b""), path


def make_headers(content_type: str, size_bytes: int) -> Headers:
    """Make the headers of every answer that a browser may show as a page.

    Parameters:
        content_type: the type of the body.
        size_bytes: the size of the body.
    """
    return Headers(
        [
            ("Date", email.utils.formatdate(usegmt=True)),
            ("Connection", "close"),
            ("Content-Length", str(size_bytes)),
            ("Content-Type", content_type),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Content-Security-Policy", POLICY),
            (ANSWER_HEADER, "rpcserver"),
        ]
    )


_WELCOME = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>rpcserver</title>
<h1>This is rpcserver</h1>
<p>It offers services of this machine by WebSocket: programs, databases, hardware, and those of plugins. Programs
connect to this address with <code>rpcclient</code>, <code>import rpcclient</code>, or any client for JSON-RPC 2.0.
<p>{console}
<p><a href="healthz">/healthz</a> and <a href="readyz">/readyz</a> tell how the server is.
</html>
"""


_MISSING = """\
The console for browsers is not part of this installation. To get it, build it in the source folder with
<code>make web</code>, or install a package of remote-services that has it, and start the server anew."""

_TURNED_OFF = """\
The console for browsers is turned off here: <code>enabled = false</code> in the table <code>[console]</code> of the
server's configuration."""


def welcome(*, head: bool, is_turned_off: bool) -> Response:
    """Make the page for a browser where there is no console.

    Parameters:
        head: whether to leave the body out, for HEAD.
        is_turned_off: whether the configuration says so.
    """
    body = _WELCOME.format(console=_TURNED_OFF if is_turned_off else _MISSING).encode()
    fields = make_headers("text/html; charset=utf-8", len(body))
    fields["Vary"] = "Accept"
    return Response(200, "OK", fields, b"" if head else body)


def is_for_reading(headers: Headers) -> bool:
    """Return whether a request asks for HTML, as browsers do when somebody opens an address.

    Parameters:
        headers: those of the request.
    """
    kinds = [kind.partition(";")[0].strip().lower() for kind in ",".join(headers.get_all("Accept")).split(",")]
    return "text/html" in kinds
