"""Pages of services: shown to plain HTTP GET, to whoever has the token."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from rpcserver import Page, Service, method
from rpcserver.door import pages
from rpcserver.door.pages import pages_of

TOKEN = "a-token-for-the-tests"


class Sights(Service):
    """Shows pages."""

    @method()
    async def view(self) -> str:
        """Look."""
        return "a view: ä\n"

    async def broken(self) -> str:
        raise OSError("/secret/path")

    def http_pages(self) -> Mapping[str, Page]:
        return {
            "/view": Page(self.view, permission="sights.view"),
            "/open": Page(self.view, "text/html; charset=utf-8", permission=None),
            "/broken": Page(self.broken, permission="sights.view"),
        }


def test_pages(tools: Any) -> None:
    async def main() -> None:
        async with tools.serve(Sights()) as server:

            async def get(path: str, *headers: str, verb: str = "GET") -> Any:
                lines = [f"{verb} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]
                return await tools.http(server, "\r\n".join(lines))

            good = f"Authorization: Bearer {TOKEN}"
            for wrong in ((), ("Authorization: Bearer nonsense",), (f"Authorization: Basic {TOKEN}",), (good, good)):
                status, headers, body = await get("/view", *wrong)
                assert status == 401
                assert headers["www-authenticate"].startswith("Bearer")
                assert b"view: " not in body
            status, headers, body = await get("/view?x=1", good)
            assert (status, body.decode()) == (200, "a view: ä\n")
            assert headers["content-type"] == "text/plain; charset=utf-8"
            status, headers, body = await get("/view", good, verb="HEAD")
            assert (status, body, headers["content-length"]) == (200, b"", "11")
            status, headers, body = await get("/open")
            assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
            status, _, body = await get("/broken", good)
            assert status == 500
            assert b"secret" not in body
            status, _, body = await get("/nothing", good)
            assert status == 404
            assert b"/view" in body

    tools.run(main())


class Slow(Service):
    """Has a page that is never made."""

    @method()
    async def view(self) -> str:
        """Look."""
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    def http_pages(self) -> Mapping[str, Page]:
        return {"/slow": Page(self.view, permission=None)}


def test_a_page_that_is_never_made(
    tools: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever asks for it again and again would otherwise use up the server's descriptors."""
    monkeypatch.setattr(pages, "PAGE_TIMEOUT_S", 0.01)

    async def main() -> None:
        async with tools.serve(Slow()) as server:
            status, _, body = await tools.http(server, "GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (status, body) == (503, b"the page was not made within 0.01 s; try again later\n")

    tools.run(main())
    assert "the page /slow was not made within 0.01 s" in caplog.text


def test_pages_of_other_sites_load_nothing_from_here(tools: Any) -> None:
    """A frame or a picture names no origin that could be refused, and whether it loads tells what is here."""

    async def main() -> None:
        async with tools.serve(Sights()) as server:
            for path in ("/healthz", "/readyz", "/view", "/nothing", "/"):
                _, headers, _ = await tools.http(server, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert headers["cross-origin-resource-policy"] == "same-origin"
                assert headers["content-security-policy"] == "frame-ancestors 'self'"
                assert headers["x-content-type-options"] == "nosniff"

    tools.run(main())


def test_pages_that_cannot_be() -> None:
    class Other(Service):
        """Shows a page."""

        def __init__(self, path: str) -> None:
            super().__init__()
            self.path = path

        def http_pages(self) -> Mapping[str, Page]:
            return {self.path: Page(Sights().view, permission=None)}

    for path in ("view", "/", "/view?x", "/healthz", ""):
        with pytest.raises(TypeError, match="other: "):
            pages_of([Other(path)])
    with pytest.raises(TypeError, match="a page at /view already"):
        pages_of([Other("/view"), Other("/view")])
