"""The pages for plain HTTP GET: ``/healthz``, ``/readyz``, and those of services."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Protocol

from websockets.http11 import Response

from rpcserver.health import TIMEOUT_S as HEALTH_TIMEOUT_S
from rpcserver.security.authentication import Authentication
from rpcserver.security.gate import denial
from rpcserver.security.roles import Roles
from rpcwire.context import Principal
from rpcwire.errors import PermissionDenied, Unavailable
from rpcwire.logs import about, printable
from rpcwire.service import Health, Page

from .asking import HttpRequest
from .http import require_upgrade, respond, respond_json

logger = logging.getLogger("rpcserver.door.pages")

PAGE_TIMEOUT_S = 30.0
"""How long a service may take to make a page, in seconds. Nothing else bounds how many clients wait for pages."""


class HasPages(Protocol):
    """Has pages, such as a service."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    def http_pages(self) -> Mapping[str, Page]:
        """Return its pages by path."""
        ...


class Replier(Protocol):
    """Sends the answer to the client that has asked."""

    def reply(self, response: Response) -> None:
        """Send the answer and close."""
        ...


class Pages:
    """Answers GET and HEAD requests.

    Parameters:
        ask_health: asks each service for its health, with a time limit in seconds, and returns by its name what it
            has answered, and whether it has.
        is_ready: tells whether the server can do its work, by these answers.
        pages: the pages of services, by path.
        authentication: finds out who a client is.
        roles: who may do what.
        path_prefix: the prefix that proxies put before the paths of the server.

    Attributes:
        why_closed: returns why no page of a service may be shown now; ``None`` if they may be. Those of the service
            ``rpc`` are shown all the same: they tell an operator what is the matter.
    """

    def __init__(
        self,
        ask_health: Callable[[float], Awaitable[Mapping[str, tuple[Health, bool]]]],
        is_ready: Callable[[Mapping[str, tuple[Health, bool]]], bool],
        pages: Mapping[str, Page],
        authentication: Authentication,
        roles: Roles,
        path_prefix: str = "",
    ) -> None:
        self._ask_health = ask_health
        self._is_ready = is_ready
        self._service_pages = dict(pages)
        self._authentication = authentication
        self._roles = roles
        self._path_prefix = path_prefix
        self._pages: dict[str, Callable[[bool], Awaitable[Response]]] = {
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            **{path: partial(self._show, path) for path in pages},
        }
        self._tasks: set[asyncio.Task[None]] = set()
        self.why_closed: Callable[[], str | None] = lambda: None

    def add(self, pages: Mapping[str, Page]) -> None:
        """Show more pages, of a service that could not be loaded before.

        Parameters:
            pages: the pages by path.

        Raises:
            TypeError: there is a page at one of the paths already.
        """
        for path in pages:
            if path in self._pages:
                raise TypeError(f"there is a page at {path} already")
        self._service_pages.update(pages)
        self._pages.update({path: partial(self._show, path) for path in pages})

    def answer(self, replier: Replier, request: HttpRequest, principal: Principal | None) -> None:
        """Answer a request that is not a WebSocket handshake, now or a little later.

        Parameters:
            replier: sends the answer.
            request: the request.
            principal: who has sent it; ``None`` if it has no credentials.
        """
        head, path = request.is_head, request.path
        page = self._pages.get(path)
        if page is None:
            if path == "/":
                text = "here is a WebSocket for JSON-RPC 2.0: connect with a WebSocket client\n"
                replier.reply(require_upgrade(text, head=head))
            else:
                replier.reply(
                    respond(404, f"there is {' and '.join(self._path_prefix + p for p in self._pages)}\n", head=head)
                )
            return
        needs = self._service_pages[path].permission if path in self._service_pages else None
        if needs is not None and principal is None:
            text = f"this page needs a token: Authorization: {self._authentication.forms}\n"
            replier.reply(respond(401, text, head=head, WWW_Authenticate=self._authentication.challenges))
            return
        if needs is not None and principal is not None and (error := self._refuse(principal, needs, path)) is not None:
            replier.reply(respond(403, f"{printable(error.message)}\n", head=head))
            return
        if needs is not None and not needs.startswith("rpc.") and (reason := self.why_closed()) is not None:
            replier.reply(respond(503, f"{reason}\n", head=head))
            return
        task = asyncio.get_running_loop().create_task(self._serve(page, replier, head))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _refuse(self, principal: Principal, permission: str, path: str) -> PermissionDenied | None:
        role = self._roles.of(principal)
        if role is not None and permission in role.permissions:
            return None
        return denial(self._roles, principal, permission, f"read {path}")

    async def _serve(self, page: Callable[[bool], Awaitable[Response]], replier: Replier, head: bool) -> None:
        replier.reply(await page(head))

    async def _show(self, path: str, head: bool) -> Response:
        page = self._service_pages[path]
        limit = asyncio.timeout(PAGE_TIMEOUT_S)
        extra = about("", is_known=False)
        try:
            async with limit:
                text = await page.render()
        except Unavailable as exc:
            return respond(503, f"{printable(exc.message)}\n", head=head)
        except Exception:
            if limit.expired():
                logger.error("the page %s was not made within %g s", path, PAGE_TIMEOUT_S, extra=extra)  # noqa: TRY400 - says all
                return respond(503, f"the page was not made within {PAGE_TIMEOUT_S:g} s; try again later\n", head=head)
            logger.exception("the page %s failed", path, extra=extra)
            return respond(500, "the page failed; see the server's log\n", head=head)
        return respond(200, text, content_type=page.content_type, head=head)

    async def _healthz(self, head: bool) -> Response:
        return respond(200, "ok\n", head=head)

    async def _readyz(self, head: bool) -> Response:
        answers = await self._ask_health(HEALTH_TIMEOUT_S)
        ready = self._is_ready(answers)
        content = {
            "ready": ready,
            "services": {name: {"ok": state.ok, "reason": state.reason} for name, (state, _) in answers.items()},
        }
        return respond_json(200 if ready else 503, content, head=head)


def pages_of(services: Iterable[HasPages]) -> dict[str, Page]:
    """Collect the pages of services by path.

    Raises:
        TypeError: a path is malformed, or two pages have the same path.
    """
    pages: dict[str, Page] = {}
    for service in services:
        for path, page in service.http_pages().items():
            if not path.startswith("/") or path == "/" or "?" in path:
                raise TypeError(f"{service.name}: a page cannot be at {path!r}: write a path such as /metrics")
            if path in pages or path in ("/healthz", "/readyz"):
                raise TypeError(f"{service.name}: there is a page at {path} already")
            pages[path] = page
    return pages
