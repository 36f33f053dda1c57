"""The chain of an audit log, without I/O. Lines are chained in blocks: what is written together. The last line of a
block ends with a SHA-256 of the block and of the chain before it. So no line can be changed, removed, inserted or moved
without changing the chains of all blocks after it, the head included.

Each line has its number. The last line of a block with several lines also has a short sum of each other line
(Adler-32, RFC 1950), which proves nothing, but tells which line of a block was changed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from struct import pack
from zlib import adler32

import msgspec

ORIGIN = "0" * 64
"""The chain before the first line of all."""

_KEY = b',"chain":"'
_TAIL_BYTES = len(_KEY) + 64 + len(b'"}')
_SEAL = re.compile(rb',"chain":"([0-9a-f]{64})"\}')


@dataclass(frozen=True, slots=True)
class Head:
    """The last line of an audit log: whoever knows it sees whether lines were cut off.

    Attributes:
        seq: the number of the line; 0 if there is none.
        chain: its chain, 64 hexadecimal digits.
    """

    seq: int = 0
    chain: str = ORIGIN

    def __str__(self) -> str:
        return f"{self.seq}:{self.chain}"


def read_head(text: str) -> Head:
    """Read a head as ``str(head)`` writes it.

    Raises:
        ValueError: it is malformed.
    """
    match = re.fullmatch(r"([0-9]{1,18}):([0-9a-f]{64})", text.strip(), re.ASCII)
    if match is None:
        raise ValueError("a head is written SEQ:CHAIN, with 64 hexadecimal digits, as the log of the server tells it")
    return Head(int(match[1]), match[2])


def sum_lines(lines: Sequence[bytes]) -> str:
    """Return the short sums of lines, eight hexadecimal digits for each.

    Parameters:
        lines: the lines, without their ends.
    """
    return pack(f">{len(lines)}I", *map(adler32, lines)).hex()


def seal(before: str, lines: Sequence[bytes]) -> tuple[bytes, str]:
    """Make a block.

    Parameters:
        before: the chain of the block before it.
        lines: its lines, at least one, without their ends.

    Returns:
        The block, with the ends of the lines, and its chain.
    """
    *others, last = lines
    body = last[:-1]
    if others:
        body += b',"sums":"%b"' % sum_lines(others).encode("ascii")
    block = b"\n".join([*others, body])
    chain = chain_of(before, block)
    return b'%b%b%b"}\n' % (block, _KEY, chain.encode("ascii")), chain


def chain_of(before: str, block: bytes) -> str:
    """Return the chain of a block.

    Parameters:
        before: the chain of the block before it.
        block: its bytes, up to ``,"chain":`` in its last line.
    """
    digest = sha256(before.encode("ascii"))
    digest.update(block)
    return digest.hexdigest()


class _Fields(msgspec.Struct):
    seq: int
    event: str = ""
    after: str = ""
    first: int = 0
    last: int = 0
    file: str = ""
    sums: str = ""


_DECODER = msgspec.json.Decoder(_Fields)


@dataclass(frozen=True, slots=True)
class Link:
    """What a line says of its place.

    Attributes:
        seq: its number.
        event: its event.
        after: of the first line of a file: the chain before it.
        removed_range: of a line about a removed file: the numbers of the first and the last line in it.
        sums: of the last line of a block: the short sums of the other lines.
        chain: of the last line of a block: the chain; otherwise empty.
        body: the bytes of the line, up to its chain.
    """

    seq: int
    event: str
    after: str
    removed_range: tuple[int, int]
    sums: str
    chain: str
    body: bytes


def read_link(line: bytes) -> Link:
    """Read what a line says of its place.

    Parameters:
        line: the line, without its end.

    Raises:
        ValueError: it is no line of an audit log.
    """
    try:
        fields = _DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise ValueError(f"it is no JSON object with the fields of a line ({type(exc).__name__})") from None
    match = _SEAL.fullmatch(line, max(len(line) - _TAIL_BYTES, 0))
    chain, body = ("", line) if match is None else (match[1].decode("ascii"), line[:-_TAIL_BYTES])
    return Link(fields.seq, fields.event, fields.after, (fields.first, fields.last), fields.sums, chain, body)
