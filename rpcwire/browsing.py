"""Opens a page in the browser of whoever runs a command, where there is a screen.

The command line of a browser can be read by all users of the machine, and the address of the page holds a ticket. So
the browser is given a file that only its user can read, and that leads to the page."""

from __future__ import annotations

import contextlib
import html
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

_PAGE = """\
<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={url}">
<title>remote-services</title>
<p><a href="{url}">Go on to the console</a></p>
"""

_PREFIX = "remote-services-console-"


def has_screen(environ: Mapping[str, str] = os.environ, platform: str = sys.platform) -> bool:
    """Return whether a browser could show something.

    Parameters:
        environ: the environment.
        platform: the system, as :data:`sys.platform` names it.
    """
    return platform in ("darwin", "win32") or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def open_page(url: str) -> bool:
    """Open a page. The file that leads to it stays, since nobody tells when the browser has read it. Those of earlier
    pages are removed.

    Parameters:
        url: the address of the page. It may hold a secret that is good for a short time only.

    Returns:
        Whether a browser was started.
    """
    import webbrowser  # Only here: those who open no page start sooner.

    folder = Path(tempfile.gettempdir())
    for old in folder.glob(f"{_PREFIX}*.html"):
        with contextlib.suppress(OSError):  # It may be somebody else's.
            old.unlink()
    descriptor, name = tempfile.mkstemp(prefix=_PREFIX, suffix=".html")  # With mode 0600.
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(_PAGE.format(url=html.escape(url)))
    return webbrowser.open(Path(name).as_uri())


def page_at(address: str, ticket: str) -> str:
    """Return the address of the console for a ticket.

    Parameters:
        address: the address of the server's page, ``http://`` or ``https://``, or that of its WebSocket.
        ticket: the ticket. Browsers send nothing that follows the ``#``.
    """
    scheme, _, rest = address.partition("://")
    scheme = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    path = "" if rest.endswith("/") else "/"
    return f"{scheme}://{rest}{path}#ticket={ticket}"
