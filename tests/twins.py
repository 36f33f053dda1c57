"""The synchronous views, made of the asynchronous ones, which are their source.

The rewriter works on tokens, so that comments, docstrings and the order of everything stay. What it cannot say by
renaming stands in `rpcclient/aio/waits.py` and `rpcclient/sync/waits.py`, under the same names: how to start something
beside the rest, to limit a time, to tell the time.
"""

from __future__ import annotations

import io
import keyword
import re
import tokenize

VIEWS = (
    "client",
    "database",
    "descriptions",
    "dynamic",
    "greeting",
    "group",
    "group_programs",
    "group_stub",
    "hardware",
    "lease",
    "outcomes",
    "picking",
    "program",
    "programs",
    "program_calls",
    "program_streams",
    "stub",
    "transaction",
)
"""The modules of `rpcclient/aio` of which `rpcclient/sync` has a generated twin."""

NAMES = {
    "__aenter__": "__enter__", "__aexit__": "__exit__", "__aiter__": "__iter__", "__anext__": "__next__",
    "StopAsyncIteration": "StopIteration", "aclose": "close", "anext": "next",
    "asynccontextmanager": "contextmanager", "AsyncExitStack": "ExitStack", "AsyncStub": "SyncStub",
}  # fmt: skip
"""What a name becomes. Besides, `AsyncName` becomes `Name`, and `_AsyncName` becomes `_Name`."""

MODULES = {
    "rpcclient.aio": "rpcclient.sync",
    "rpcclient.aio.serial": "rpcclient.sync.serial.port",
    "rpcwire.aio.peer": "rpcwire.threads.peer",
    "rpcwire.aio.streams": "rpcwire.threads.inbox",
}
"""What a module becomes from which something is imported."""

DECORATORS = frozenset({"gives_way"})
"""What only coroutine functions wear. Its import goes, too, as nothing uses it any more."""

PHRASES = {
    "Calls the services of a server, with asyncio. The twin of :class:`rpcclient.Client`, method for method.": (
        "Calls the services of a server. Several threads may share one. The twin of :class:`rpcclient.AsyncClient`, method\n"
        "    for method; it uses no event loop."
    ),
    "    A client belongs to the event loop in which it is used. When that is closed, it connects anew in the next one.\n\n": "",
    "Signatures and documentation are there after the first call, or after\n    ``await service.describe()``.": (
        "Signatures and documentation are fetched when the first is asked for."
    ),
    "``Server.connect_memory`` of a server in the same process, instead of a URL.": (
        "``Server.connect_memory`` of a server in the same process, instead of a URL; its loop runs in another\n"
        "            thread."
    ),
}
"""What is to be said of the two in other words. Nothing of what stands here is renamed."""

WORDS = (
    (r"(\*\*|``|)async (with|for|def)\b", r"\1\2"),
    (r"\ban async itera(tor|ble)", r"an itera\1"),
    (r"\ban async context manager", "a context manager"),
    (r"\(await ((?:[\w.]+)\([^()]*\))\)", r"\1"),
    (r"\bawait ", ""),
    (r"\basynchronous(?= client|ly\b)", "synchronous"),
    (r"\b[Ss]everal tasks\b", "Several threads"),
    (r"\bAsyncStub\b", "SyncStub"),
    (r"\b(_?)Async(?=[A-Z])", r"\1"),
    (r"\b__a(enter|exit|iter|next)__\b", r"__\1__"),
    (r"\banext\b", "next"),
    (r"\baclose\b", "close"),
    (r"\brpcclient\.aio\b", "rpcclient.sync"),
)
"""What becomes of words in strings and comments."""

_PRIMARY = {".", "(", ")", "[", "]"}


def synchronous(text: str, source: str) -> str:
    """The synchronous twin of a module.

    Parameters:
        text: the asynchronous one.
        source: its path, for the line at the head.

    Returns:
        The twin, not formatted, and with the imports that it does not need.
    """
    body = _rewritten(text)
    return f"# Generated from {source} by `make stubs`. Do not edit: change that, and generate anew.\n\n{body}"


def _rewritten(text: str) -> str:
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))

    def place(at: tuple[int, int]) -> int:
        return starts[min(at[0] - 1, len(lines))] + at[1]

    edits: list[tuple[int, int, str]] = []
    for index, token in enumerate(tokens):
        begin, end = place(token.start), place(token.end)
        if token.type == tokenize.NAME and token.string in {"async", "await"}:
            edits.append((begin, place(tokens[index + 1].start), ""))
            if token.string == "await" and (closing := _needless(tokens, index)) is not None:
                opening = tokens[index - 1]
                edits.append((place(opening.start), place(opening.end), ""))
                edits.append((place(closing.start), place(closing.end), ""))
        elif token.type == tokenize.NAME and token.string == "Awaitable" and tokens[index + 1].string == "[":
            closing = _closing(tokens, index + 1)
            edits.append((begin, place(tokens[index + 1].end), ""))
            edits.append((place(closing.start), place(closing.end), ""))
        elif token.type == tokenize.OP and token.string == "@" and _decorates(tokens, index):
            edits.append((starts[token.start[0] - 1], starts[token.start[0]], ""))
        elif token.type == tokenize.NAME and tokens[index - 1].string in {"from", "import"} and index:
            module, last = _dotted(tokens, index)
            if module in MODULES:
                edits.append((begin, place(last.end), MODULES[module]))
            elif module == token.string:
                edits.append((begin, end, _name(module)))
        elif token.type == tokenize.NAME:
            edits.append((begin, end, _name(token.string)))
        elif token.type in {tokenize.STRING, tokenize.COMMENT} or tokenize.tok_name[token.type] == "FSTRING_MIDDLE":
            edits.append((begin, end, _worded(text[begin:end])))
    return _edited(text, edits)


def _edited(text: str, edits: list[tuple[int, int, str]]) -> str:
    parts: list[str] = []
    at = 0
    for begin, end, new in sorted(edits):
        if begin < at:  # Within a line, or a name, that went as a whole.
            continue
        parts += text[at:begin], new
        at = end
    return "".join((*parts, text[at:]))


def _name(name: str) -> str:
    return NAMES.get(name) or re.sub(r"^(_?)Async(?=[A-Z])", r"\1", name)


def _worded(text: str) -> str:
    for phrase, replacement in PHRASES.items():
        before, found, after = text.partition(phrase)
        if found:
            return _worded(before) + replacement + _worded(after)
    for pattern, replacement in WORDS:
        text = re.sub(pattern, replacement, text)
    return text


def _dotted(tokens: list[tokenize.TokenInfo], index: int) -> tuple[str, tokenize.TokenInfo]:
    """The dotted name that begins here, and its last token."""
    last = index
    while tokens[last + 1].string == "." and tokens[last + 2].type == tokenize.NAME:
        last += 2
    return "".join(token.string for token in tokens[index : last + 1]), tokens[last]


def _decorates(tokens: list[tokenize.TokenInfo], index: int) -> bool:
    """Whether a decorator stands here that only coroutine functions wear."""
    return tokens[index + 1].string in DECORATORS and tokens[index + 2].type == tokenize.NEWLINE


def _closing(tokens: list[tokenize.TokenInfo], index: int) -> tokenize.TokenInfo:
    """The bracket that closes the one at a place."""
    depth = 0
    for token in tokens[index:]:
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
            if not depth:
                return token
    raise ValueError(f"nothing closes the bracket in line {tokens[index].start[0]}")


def _needless(tokens: list[tokenize.TokenInfo], index: int) -> tokenize.TokenInfo | None:
    """The parenthesis that closes the one before an `await`, where the two are for this alone: `(await f()).x`."""
    opening, before = tokens[index - 1], tokens[index - 2]
    if opening.string != "(" or before.string in {")", "]"}:
        return None
    if before.type == tokenize.NAME and not keyword.iskeyword(before.string):
        return None  # The parenthesis of a call.
    closing = _closing(tokens, index - 1)
    depth = 0
    for token in tokens[index + 1 :]:
        if token is closing:
            return closing
        depth += (token.string in {"(", "["}) - (token.string in {")", "]"})
        operates = token.type == tokenize.OP and token.string not in _PRIMARY
        if not depth and (operates or keyword.iskeyword(token.string)):
            break
    return None
