"""Which statuses of HTTP may pass: the same request may be answered otherwise a little later."""

from __future__ import annotations

import re

_PASSES = frozenset({408, 425, 429})
_STAYS = frozenset({501, 505, 506, 508, 510, 511})


def may_pass(status: int) -> bool:
    """Return whether the same handshake may be answered otherwise a little later. A proxy answers 500, 502, 503 or 504
    while its server restarts, and 429 while a limit is exceeded (RFC 9110, section 15; RFC 6585, section 4)."""
    return status in _PASSES or (status >= 500 and status not in _STAYS)


STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: ([^\r\n]*))?\r?\n")
"""The first line of an answer (RFC 9112, section 4). An empty reason may lack the space before it, and the line may end
as in section 2.2."""
