"""The pages behind plain HTTP GET: ``/healthz``, ``/readyz``, and what services show."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, Protocol

from websockets.datastructures import Headers
from websockets.http11 import Response

from rpcserver.security.authentication import Authentication
from rpcwire.errors import Unauthenticated
from rpcwire.service import Health, Page, Service

from .asking import Asked
from .http import respond, respond_json, upgrade_required

logger = logging.getLogger("rpcserver.door.pages")

HEALTH_TIMEOUT_S = 5.0
"""How long one service may take to say how it is."""


class Replier(Protocol):
    """Who asked."""

    def reply(self, response: Response) -> None:
        """Send the answer and close."""
        ...


class Pages:
    """Answers GET and HEAD requests.

    Parameters:
        services: those that ``/readyz`` asks, by name.
        stopping: whether the server is about to stop.
        shown: the pages of services, by path.
        authentication: tells who sends a request.
        path_prefix: what proxies put before the paths of the server.
    """

    def __init__(
        self,
        services: Callable[[], Mapping[str, Service[Any]]],
        stopping: Callable[[], bool],
        shown: Mapping[str, Page],
        authentication: Authentication,
        path_prefix: str = "",
    ) -> None:
        self._services = services
        self._stopping = stopping
        self._shown = shown
        self._authentication = authentication
        self._path_prefix = path_prefix
        self._pages: Mapping[str, Callable[[bool], Awaitable[Response]]] = {
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            **{path: partial(self._show, path) for path in shown},
        }
        self._tasks: set[asyncio.Task[None]] = set()

    def is_known(self, headers: Headers) -> bool:
        """Whether a request says who sends it, rightly."""
        try:
            return self._authentication.by_request(headers) is not None
        except Unauthenticated:
            return False

    def answer(self, replier: Replier, asked: Asked) -> None:
        """Answer a request that is no WebSocket handshake, now or a little later."""
        head, path = asked.is_head, asked.path
        page = self._pages.get(path)
        if page is None:
            if path == "/":
                text = "here is a WebSocket for JSON-RPC 2.0: connect with a WebSocket client\n"
                replier.reply(upgrade_required(text, head=head))
            else:
                replier.reply(
                    respond(404, f"there is {' and '.join(self._path_prefix + p for p in self._pages)}\n", head=head)
                )
            return
        if path in self._shown and self._shown[path].needs_token and not self.is_known(asked.headers):
            text = f"this page needs the server's token: Authorization: {self._authentication.forms}\n"
            replier.reply(respond(401, text, head=head, WWW_Authenticate=self._authentication.challenges))
            return
        task = asyncio.get_running_loop().create_task(self._serve(page, replier, head))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, page: Callable[[bool], Awaitable[Response]], replier: Replier, head: bool) -> None:
        replier.reply(await page(head))

    async def _show(self, path: str, head: bool) -> Response:
        page = self._shown[path]
        try:
            text = await page.render()
        except Exception:
            logger.exception("the page %s failed", path)
            return respond(500, "the page failed; see the server's log\n", head=head)
        return respond(200, text, content_type=page.content_type, head=head)

    async def _healthz(self, head: bool) -> Response:
        return respond(200, "ok\n", head=head)

    async def _readyz(self, head: bool) -> Response:
        services = self._services()
        states = await asyncio.gather(*(_health(service) for service in services.values()))
        ready = not self._stopping() and all(state.ok for state in states)
        content = {
            "ready": ready,
            "services": {
                name: {"ok": state.ok, "reason": state.reason} for name, state in zip(services, states, strict=True)
            },
        }
        return respond_json(200 if ready else 503, content, head=head)


async def _health(service: Service[Any]) -> Health:
    try:
        return await asyncio.wait_for(service.health(), HEALTH_TIMEOUT_S)
    except TimeoutError:
        return Health(ok=False, reason=f"no answer within {HEALTH_TIMEOUT_S:g} s")
    except Exception:
        service.runtime.logger.exception("the health check of %s failed", service.name)
        return Health(ok=False, reason="the health check failed; see the log")


def pages_of(services: Iterable[Service[Any]]) -> dict[str, Page]:
    """The pages that services show.

    Raises:
        TypeError: a path is malformed, or two pages have one.
    """
    found: dict[str, Page] = {}
    for service in services:
        for path, page in service.http_pages().items():
            if not path.startswith("/") or path == "/" or "?" in path:
                raise TypeError(f"{service.name}: a page cannot be at {path!r}: write a path such as /metrics")
            if path in found or path in ("/healthz", "/readyz"):
                raise TypeError(f"{service.name}: there is a page at {path} already")
            found[path] = page
    return found
