"""The pages for plain HTTP GET: ``/healthz``, ``/readyz``, those of services, and ``/metrics``, of which the server and
each service may have a part."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, Protocol

from websockets.http11 import Response

from rpcserver.config import ConsoleConfig
from rpcserver.health import TIMEOUT_S as HEALTH_TIMEOUT_S
from rpcserver.security.authentication import Authentication
from rpcserver.security.gate import denial
from rpcserver.security.roles import Roles
from rpcwire.context import Principal
from rpcwire.errors import PermissionDenied, Unavailable
from rpcwire.logs import about, printable
from rpcwire.service import Health, Page, Service

from .asking import HttpRequest
from .files import PUBLIC, BuiltFile, BuiltFiles, head_of, is_for_reading, welcome
from .http import require_upgrade, respond, respond_json
from .public_docs import PATH as PUBLIC_DOCS
from .public_docs import PublicDocs

logger = logging.getLogger("rpcserver.door.pages")

SHARED_PAGE = "/metrics"
"""The one page that several services may have: each sees to its own part, and who may read one part sees that part."""

PAGES_OF_STATE = frozenset({"/healthz", "/readyz", SHARED_PAGE})
"""The pages that web pages of allowed origins may read."""

OWN_PAGES = ("/healthz", "/readyz", PUBLIC_DOCS)
"""The pages that no service may have."""

CONSOLE = "/"
"""The folder of the console."""

CLIENT = "client.js"
"""The file there with the client for pages of plugins. They do not depend on whether the console is turned on."""

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


@dataclass(frozen=True, slots=True)
class Part:
    """A page of a service, or its part of a shared page.

    Attributes:
        service: the name of the service.
        page: the page.
    """

    service: str
    page: Page


class Replier(Protocol):
    """Sends the answer to the client that has asked."""

    def reply(self, response: Response) -> None:
        """Send the answer and close."""
        ...

    def reply_file(self, response: Response, file: BinaryIO) -> None:
        """Send the answer and then a file, which is closed in the end, and close."""
        ...


class Pages:
    """Answers GET and HEAD requests.

    Parameters:
        ask_health: asks each service for its health, with a time limit in seconds, and returns by its name what it
            has answered, and whether it has.
        is_ready: tells whether the server can do its work, by these answers.
        pages: the pages of services, by path, each with its parts.
        authentication: finds out who a client is.
        roles: who may do what.
        console: what browsers get.
        public_docs: answers with what everybody may read about methods.
        path_prefix: the prefix that proxies put before the paths of the server.
        folders: folders of built files, by their paths, each of which ends with a slash.

    Attributes:
        why_closed: returns why no page of a service may be shown now; ``None`` if they may be. Those of the service
            ``rpc`` are shown all the same: they tell an operator what is the matter.
    """

    def __init__(
        self,
        ask_health: Callable[[float], Awaitable[Mapping[str, tuple[Health, bool]]]],
        is_ready: Callable[[Mapping[str, tuple[Health, bool]]], bool],
        pages: Mapping[str, Sequence[Part]],
        authentication: Authentication,
        roles: Roles,
        console: ConsoleConfig,
        public_docs: PublicDocs,
        path_prefix: str = "",
        folders: Mapping[str, BuiltFiles] | None = None,
    ) -> None:
        self._ask_health = ask_health
        self._is_ready = is_ready
        self._service_pages: dict[str, Sequence[Part]] = dict(pages)
        self._authentication = authentication
        self._roles = roles
        self._console = console
        self._public_docs = public_docs
        self._path_prefix = path_prefix
        self._folders = dict(folders or {})
        self._pages: dict[str, Callable[[bool], Awaitable[Response]]] = {
            "/healthz": self._healthz,
            "/readyz": self._readyz,
        }
        self._tasks: set[asyncio.Task[None]] = set()
        self.why_closed: Callable[[], str | None] = lambda: None

    def check_new(self, pages: Mapping[str, Sequence[Part]]) -> None:
        """Check that more pages can be shown.

        Parameters:
            pages: the pages by path, each with its parts.

        Raises:
            TypeError: there is a page at one of the paths already, which is not :data:`SHARED_PAGE`.
        """
        for path in pages:
            if path in self._pages or (path in self._service_pages and path != SHARED_PAGE):
                raise TypeError(f"there is a page at {path} already")

    def add(self, pages: Mapping[str, Sequence[Part]]) -> None:
        """Show more pages, of a service that could not be loaded before.

        Parameters:
            pages: the pages by path, each with its parts.

        Raises:
            TypeError: as of :meth:`check_new`.
        """
        self.check_new(pages)
        for path, parts in pages.items():
            self._service_pages[path] = [*self._service_pages.get(path, ()), *parts]

    def add_folders(self, folders: Mapping[str, BuiltFiles]) -> None:
        """Show more folders of built files, of a service that could not be loaded before.

        Parameters:
            folders: the folders, as of the class.
        """
        self._folders.update(folders)

    def change(self, config: ConsoleConfig) -> None:
        """Have other settings of the console from now on.

        Parameters:
            config: the settings.
        """
        self._console = config
        self._public_docs.change(config)

    def answer(self, replier: Replier, request: HttpRequest, principal: Principal | None) -> None:
        """Answer a request that is not a WebSocket handshake, now or a little later.

        Parameters:
            replier: sends the answer.
            request: the request.
            principal: who has sent it; ``None`` if it has no credentials.
        """
        head, path = request.is_head, request.path
        page = self._pages.get(path)
        parts = self._service_pages.get(path, ())
        if path == PUBLIC_DOCS and self._public_docs.is_open:
            self._keep(self._serve_docs(replier, request))
            return
        if page is None and not parts:
            if self._answer_folder(replier, request):
                return
            if path == "/" and is_for_reading(request.headers):
                replier.reply(welcome(head=head, is_turned_off=not self._console.enabled))
            elif path == "/":
                text = "here is a WebSocket for JSON-RPC 2.0: connect with a WebSocket client\n"
                replier.reply(require_upgrade(text, head=head))
            else:
                docs = (PUBLIC_DOCS,) if self._public_docs.is_open else ()
                paths = (*self._pages, *docs, *self._service_pages)
                text = f"there is {' and '.join(self._path_prefix + p for p in paths)}\n"
                replier.reply(respond(404, text, head=head))
            return
        if page is None:
            choice = self._choose(parts, path, principal, head=head)
            if isinstance(choice, Response):
                replier.reply(choice)
                return
            page = partial(self._show, path, choice)
        self._keep(self._serve(page, replier, head))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _answer_folder(self, replier: Replier, request: HttpRequest) -> bool:
        """Answer a request for a file of a folder. Return whether there is one."""
        path = request.path
        if f"{path}/" in self._folders:
            # Relative, so that it is right behind a proxy that gives the server a prefix.
            replier.reply(respond(308, "", head=request.is_head, Location=f"{path.rpartition('/')[2]}/"))
            return True
        if path == "/" and not is_for_reading(request.headers):
            return False  # It is no browser: it needs to know that a WebSocket is here.
        for folder, files in self._folders.items():
            if path.startswith(folder) and (file := self._find(files, folder, path.removeprefix(folder))) is not None:
                self._keep(self._serve_file(file, replier, request))
                return True
        return False

    def _find(self, files: BuiltFiles, folder: str, name: str) -> BuiltFile | None:
        """Find a file of a folder that may be shown now."""
        if folder != CONSOLE:
            return files.find(name)
        if not self._console.enabled and name != CLIENT:
            return None
        if self._public_docs.is_open and name in ("", "docs"):
            return files.find(PUBLIC) or files.find(name)
        return files.find(name)

    async def _serve_docs(self, replier: Replier, request: HttpRequest) -> None:
        replier.reply(await self._public_docs.answer(request.headers, head=request.is_head))

    async def _serve_file(self, file: BuiltFile, replier: Replier, request: HttpRequest) -> None:
        response, path = head_of(file, request.headers)
        if path is None or request.is_head:
            replier.reply(response)
            return
        try:
            stream = await asyncio.to_thread(path.open, "rb")
        except OSError as exc:
            logger.error("%s cannot be read: %s", path, exc.strerror, extra=about("", is_known=False))  # noqa: TRY400
            replier.reply(respond(500, "the file cannot be read; see the server's log\n"))
            return
        replier.reply_file(response, stream)

    def _choose(
        self, parts: Sequence[Part], path: str, principal: Principal | None, *, head: bool
    ) -> list[Part] | Response:
        """Choose the parts of a page that somebody may read now; if there are none, return the answer that says why."""
        readable: list[Part] = []
        answer: Response | None = None
        for part in parts:
            needs = part.page.permission
            if needs is None:
                readable.append(part)
            elif principal is None:
                text = f"this page needs a token: Authorization: {self._authentication.forms}\n"
                answer = answer or respond(401, text, head=head, WWW_Authenticate=self._authentication.challenges)
            elif (error := self._refuse(principal, needs, path)) is not None:
                answer = answer or respond(403, f"{printable(error.message)}\n", head=head)
            elif not needs.startswith("rpc.") and (reason := self.why_closed()) is not None:
                answer = respond(503, f"{reason}\n", head=head)
            else:
                readable.append(part)
        assert readable or answer is not None  # There is no page without a part.
        return readable if answer is None else readable or answer

    def _refuse(self, principal: Principal, permission: str, path: str) -> PermissionDenied | None:
        role = self._roles.of(principal)
        if role is not None and permission in role.permissions:
            return None
        return denial(self._roles, principal, permission, f"read {path}")

    async def _serve(self, page: Callable[[bool], Awaitable[Response]], replier: Replier, head: bool) -> None:
        replier.reply(await page(head))

    async def _show(self, path: str, parts: Sequence[Part], head: bool) -> Response:
        texts = await asyncio.gather(*(self._render(path, part, head=head) for part in parts))
        if len(parts) == 1 and isinstance(texts[0], Response):
            return texts[0]
        bodies = [text for text in texts if isinstance(text, str)]
        if len(parts) > 1:
            bodies.append(_describe_parts(parts, texts))
        return respond(200, "".join(bodies), content_type=parts[0].page.content_type, head=head)

    async def _render(self, path: str, part: Part, *, head: bool) -> str | Response:
        """Make a page, or a part of one. If that fails, return the answer that says so."""
        limit = asyncio.timeout(PAGE_TIMEOUT_S)
        extra = about("", is_known=False)
        try:
            async with limit:
                return await part.page.render()
        except Unavailable as exc:
            return respond(503, f"{printable(exc.message)}\n", head=head)
        except Exception:
            name = part.service
            if limit.expired():
                logger.error("%s: the page %s was not made within %g s", name, path, PAGE_TIMEOUT_S, extra=extra)  # noqa: TRY400 - says all
                return respond(503, f"the page was not made within {PAGE_TIMEOUT_S:g} s; try again later\n", head=head)
            logger.exception("%s: the page %s failed", name, path, extra=extra)
            return respond(500, "the page failed; see the server's log\n", head=head)

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


def _describe_parts(parts: Sequence[Part], texts: Sequence[str | Response]) -> str:
    """Say in a metric whose part of a shared page is missing: the others are shown all the same."""
    name = "rpcserver_metrics_part_ok"
    lines = [f"# HELP {name} Whether the part of a service is on this page.", f"# TYPE {name} gauge"]
    for part, text in zip(parts, texts, strict=True):
        lines.append(f'{name}{{service="{part.service}"}} {int(isinstance(text, str))}')
    return "\n".join(lines) + "\n"


def pages_of(services: Iterable[HasPages | Service[Any]]) -> dict[str, list[Part]]:
    """Collect the pages of services by path.

    Raises:
        TypeError: a path is malformed, or two pages have the same path that is not :data:`SHARED_PAGE`.
    """
    pages: dict[str, list[Part]] = {}
    for service in services:
        for path, page in service.http_pages().items():
            if not path.startswith("/") or path == "/" or "?" in path:
                raise TypeError(f"{service.name}: a page cannot be at {path!r}: write a path such as /metrics")
            if (path in pages and path != SHARED_PAGE) or path in OWN_PAGES:
                raise TypeError(f"{service.name}: there is a page at {path} already")
            pages.setdefault(path, []).append(Part(service.name, page))
    return pages
