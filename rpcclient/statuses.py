"""Which answers of HTTP may be others a little later."""

from __future__ import annotations

import re

_PASSES = frozenset({408, 425, 429})
_STAYS = frozenset({501, 505, 506, 508, 510, 511})


def may_pass(status: int) -> bool:
    """Whether the same handshake may be answered otherwise a little later: a proxy whose server restarts says 500, 502,
    503 or 504, and a limit 429 (RFC 9110, section 15; RFC 6585, section 4)."""
    return status in _PASSES or (status >= 500 and status not in _STAYS)


STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: ([^\r\n]*))?\r?\n")
"""How an answer begins (RFC 9112, section 4), also without the space that belongs before a reason that is none, and
with a line's end as in section 2.2."""
