"""Folders of built files: the console at `/`, and the pages of plugins."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rpcserver import Service, method
from rpcserver.server import Server

PAGE = '<!doctype html><script type="module" src="assets/main-BxY12_3z.js"></script>'
SCRIPT = "console.log(1);\n" * 1000


class Garden(Service):
    """Has a page."""

    @method()
    async def water(self) -> None:
        """Do nothing."""


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """What a build has left, and a secret beside it."""
    folder = tmp_path / "built"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(PAGE)
    script = folder / "assets" / "main-BxY12_3z.js"
    script.write_text(SCRIPT)
    script.with_name(f"{script.name}.gz").write_bytes(gzip.compress(SCRIPT.encode()))
    script.with_name(f"{script.name}.br").write_bytes(b"by brotli")
    (folder / "icon.svg").write_text("<svg/>")
    (folder / "docs.html").write_text("<!doctype html>docs")
    (folder / ".hidden").write_text("secret")
    (tmp_path / "secret").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    return folder


@asynccontextmanager
async def serve(tools: Any, console: Path, /, *services: Service[Any], **sections: Any) -> AsyncIterator[Server]:
    sections = {"state_dir": str(tools.folder / "state"), **sections}
    server = Server(tools.config(**sections), services or (tools.Calc(),), token=tools.TOKEN, console=console)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(grace_s=0)


async def get(tools: Any, server: Server, path: str, *headers: str, verb: str = "GET") -> Any:
    lines = [f"{verb} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]
    return await tools.http(server, "\r\n".join(lines))


HTML = "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"


def test_a_browser_gets_the_console_and_others_are_told_of_the_websocket(tools: Any, built: Path) -> None:
    async def main() -> None:
        async with serve(tools, built) as server:
            status, headers, body = await get(tools, server, "/", HTML)
            assert (status, body.decode(), headers["cache-control"]) == (200, PAGE, "no-store")
            assert headers["content-type"] == "text/html; charset=utf-8"
            for text in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "connect-src 'self'"):
                assert text in headers["content-security-policy"]
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cross-origin-opener-policy"] == "same-origin"
            for other in ((), ("Accept: */*",), ("Accept: application/json",)):
                assert (await get(tools, server, "/", *other))[0] == 426
            async with tools.connect(server) as connection:
                assert (await tools.call(connection, "calc.add", [1, 2]))["result"] == 3
            assert (await get(tools, server, "/healthz"))[2] == b"ok\n"
            status, headers, body = await get(tools, server, "/docs", HTML)
            assert (status, body) == (200, b"<!doctype html>docs")
            assert headers["content-type"] == "text/html; charset=utf-8"

    tools.run(main())


def test_without_a_console_a_browser_is_told_how_to_get_it(tools: Any, tmp_path: Path) -> None:
    async def main() -> None:
        async with serve(tools, tmp_path / "nothing") as server:
            status, headers, body = await get(tools, server, "/", HTML)
            assert status == 200 and headers["content-type"] == "text/html; charset=utf-8"
            assert b"make web" in body and b"rpcclient" in body and b"<script" not in body
            status, headers, body = await get(tools, server, "/", HTML, verb="HEAD")
            assert (status, body) == (200, b"") and int(headers["content-length"]) > 100
            assert (await get(tools, server, "/"))[0] == 426

    tools.run(main())


@pytest.mark.parametrize(
    ("accepted", "form"),
    [
        ("gzip, deflate, br", "br"), ("gzip", "gzip"), ("GZIP;q=0.5", "gzip"), ("br;q=0, gzip", "gzip"),
        ("br;q=0.000", None), ("", None), ("identity", None), ("zstd", None), ("br;q=x", None),
    ],
)  # fmt: skip
def test_a_compressed_form_goes_to_whoever_takes_it(tools: Any, built: Path, accepted: str, form: str | None) -> None:
    async def main() -> None:
        async with serve(tools, built) as server:
            path = "/assets/main-BxY12_3z.js"
            status, headers, body = await get(tools, server, path, f"Accept-Encoding: {accepted}")
            assert (status, headers.get("content-encoding")) == (200, form)
            wanted = {"br": b"by brotli", "gzip": gzip.compress(SCRIPT.encode()), None: SCRIPT.encode()}[form]
            assert len(body) == int(headers["content-length"]) == len(wanted)
            assert headers["vary"] == "Accept, Accept-Encoding"
            assert headers["content-type"] == "text/javascript; charset=utf-8"
            assert headers["cache-control"] == "public, max-age=31536000, immutable"

    tools.run(main())


def test_what_a_browser_has_already_is_not_sent_again(tools: Any, built: Path) -> None:
    async def main() -> None:
        async with serve(tools, built) as server:
            path = "/assets/main-BxY12_3z.js"
            _, headers, _ = await get(tools, server, path)
            etag = headers["etag"]
            for tag in (etag, f'"other", {etag}', f"W/{etag}", "*"):
                status, headers, body = await get(tools, server, path, f"If-None-Match: {tag}")
                assert (status, body, headers["etag"]) == (304, b"", etag)
            assert (await get(tools, server, path, 'If-None-Match: "other"'))[0] == 200
            other = await get(tools, server, path, f"If-None-Match: {etag}", "Accept-Encoding: br")
            assert other[0] == 200, "another form is another content"
            status, headers, body = await get(tools, server, path, verb="HEAD")
            assert (status, body, headers["content-length"]) == (200, b"", str(len(SCRIPT)))
            assert (await get(tools, server, "/icon.svg"))[1]["cache-control"] == "no-cache"
            assert (await get(tools, server, path, verb="POST"))[0] == 405

    tools.run(main())


@pytest.mark.parametrize(
    "path",
    ["/../secret", "/assets/../../secret", "/%2e%2e/secret", "/..%2fsecret", "//secret", "/.hidden", "/link",
     "/assets", "/assets/", "/assets/main-BxY12_3z.js/", "/assets/main-BxY12_3z.js.br/..", "/index.html%00",
     "/services/garden/../../secret", "/\\..\\secret"],
)  # fmt: skip
def test_no_address_leads_elsewhere(tools: Any, built: Path, path: str) -> None:
    async def main() -> None:
        async with serve(tools, built) as server:
            status, _, body = await get(tools, server, path, HTML)
            assert status in (400, 404) and body != b"secret"

    tools.run(main())


def test_a_plugin_has_a_page_by_a_line_in_its_class(tools: Any, built: Path, tmp_path: Path) -> None:
    class WithPage(Garden):
        name = "garden"
        page = built

    async def main() -> None:
        async with serve(tools, tmp_path / "nothing", WithPage(), listen={"path_prefix": "/rpc"}) as server:
            for prefix in ("", "/rpc"):
                status, headers, body = await get(tools, server, f"{prefix}/services/garden/", HTML)
                assert (status, body.decode()) == (200, PAGE)
                assert "frame-ancestors 'none'" in headers["content-security-policy"]
                status, headers, _ = await get(tools, server, f"{prefix}/services/garden")
                assert (status, headers["location"]) == (308, "garden/")
                assert (await get(tools, server, f"{prefix}/services/garden/icon.svg"))[2] == b"<svg/>"
            assert (await get(tools, server, "/services/other/"))[0] == 404

    tools.run(main())


def test_a_page_that_was_not_built_stops_no_service(
    tools: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class WithPage(Garden):
        name = "garden"
        page = tmp_path / "nothing"

    async def main() -> None:
        async with serve(tools, tmp_path / "nothing", WithPage()) as server:
            assert (await get(tools, server, "/services/garden/"))[0] == 404
        assert "its page has no index.html" in caplog.text

    tools.run(main())


def test_a_large_file_is_sent_as_fast_as_it_is_read_while_others_are_served(tools: Any, built: Path) -> None:
    size = 24 * 1024 * 1024
    (built / "large.wasm").write_bytes(b"x" * size)

    async def main() -> None:
        async with serve(tools, built) as server:
            raw = await tools.raw(server, receive_buffer=65536)
            await raw.send(b"GET /large.wasm HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"content-length: 25165824" in (await raw.head()).lower()
            links = list(server.door.entrance.waiting)
            sizes = [link.transport.get_write_buffer_size() for link in links if link.transport]  # type: ignore[attr-defined]
            assert max(sizes) < 1024 * 1024, "the file waits on the disk"
            async with tools.connect(server) as connection:
                assert (await tools.call(connection, "calc.add", [1, 2]))["result"] == 3
            async with asyncio.timeout(60):
                assert len(await raw.reader.read(-1)) == size
            await raw.close()

    tools.run(main())


def test_whoever_leaves_in_the_middle_of_a_file_leaves_nothing(tools: Any, built: Path) -> None:
    (built / "large.wasm").write_bytes(b"x" * 24 * 1024 * 1024)

    async def main() -> None:
        async with serve(tools, built) as server:
            raw = await tools.raw(server, receive_buffer=65536)
            await raw.send(b"GET /large.wasm HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await raw.head()
            raw.writer.transport.abort()
            await tools.until(lambda: not len(server.door.entrance.waiting))
            mine = asyncio.current_task()
            await tools.until(lambda: not [t for t in asyncio.all_tasks() if t is not mine and "send_file" in repr(t)])

    tools.run(main())
