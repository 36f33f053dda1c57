"""The subjects of the group at the broker, and which of them a node needs.

Each subject tells who publishes there, so that the broker can see to it that nobody speaks for another node:

============================ ==================================================================================
``rpcgroup.beat.ID``         the beats of a node, for the few that watch it
``rpcgroup.all.ID``          what a node tells everybody: announcements, verdicts, goodbyes
``rpcgroup.to.TARGET.ID.…``  what a node sends to one other node. The next word is the kind, further ones are the kind's
``rpcgroup.inbox.ID.…``      what the broker itself answers to a node
``$KV.rpcgroup.ID``          the entry of a node in the bucket
``$KV.rpcleases.KEY``        the entry of a lease in its bucket: any node may change it, if it knows the last change
``rpcgroup.lease.KEY``       where the broker tells that it has changed
============================ ==================================================================================

The buckets are in an account of their own (:data:`EXPORTS`). A user who asks the broker for something chooses the
subject of the answer, and the permissions of the user do not bind the broker: in the account of the buckets it could be
told so to delete them, or to make a stream that publishes for other nodes.

A node answers on ``rpcgroup.to.ASKER.ID`` and never on the reply subject of a request. So an answer, too, can only come
from whom it names; and nobody can make a node publish for somebody else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .members import format_id

PREFIX = "rpcgroup"
"""The first word of all subjects of the group."""
BUCKET = "rpcgroup"
"""The name of the bucket."""
STREAM = f"KV_{BUCKET}"
"""The name of the stream behind the bucket."""
LEASE_BUCKET = "rpcleases"
"""The name of the bucket of leases."""
LEASE_STREAM = f"KV_{LEASE_BUCKET}"
"""The name of the stream behind it."""
WORD_CHARACTERS = 63
"""The longest word of a subject that a kind adds, in characters."""

_WORD = re.compile(r"[A-Za-z0-9_-]{1,63}", re.ASCII)


def beat_of(number: int) -> str:
    """Return the subject of a node's beats."""
    return f"{PREFIX}.beat.{format_id(number)}"


def all_of(number: int) -> str:
    """Return the subject on which a node tells everybody."""
    return f"{PREFIX}.all.{format_id(number)}"


def to_node(target: int, source: int, kind: str) -> str:
    """Return the subject of what one node sends to another, or its beginning, if further words follow
    (:func:`join_words`).

    Parameters:
        target: the id of the receiver.
        source: the id of the sender.
        kind: what kind of message it is.

    Raises:
        ValueError: the kind has other characters than letters, digits, ``-`` and ``_``, or more than 63.
    """
    _check_word(kind)
    return ".".join((PREFIX, "to", format_id(target), format_id(source), kind))


def join_words(words: tuple[str, ...]) -> str:
    """Return the end of a subject: words that its kind knows.

    Parameters:
        words: the words.

    Raises:
        ValueError: as of :func:`to_node`.
    """
    for word in words:
        _check_word(word)
    return f".{'.'.join(words)}" if words else ""


def _check_word(word: str) -> None:
    if _WORD.fullmatch(word) is None:
        raise ValueError(f"{word[:100]!r} is no word of a subject: use letters, digits, - and _")


def inbox_of(number: int) -> str:
    """Return the beginning of the subjects on which the broker itself answers a node."""
    return f"{PREFIX}.inbox.{format_id(number)}"


def entry_of(number: int) -> str:
    """Return the subject that writes a node's entry in the bucket."""
    return f"$KV.{BUCKET}.{format_id(number)}"


def entries_of_all() -> str:
    """Return the pattern of the subjects of all entries in the bucket."""
    return f"$KV.{BUCKET}.*"


def lease_entry_of(key: str) -> str:
    """Return the subject that writes the entry of a lease."""
    return f"$KV.{LEASE_BUCKET}.{key}"


def lease_news_of(key: str) -> str:
    """Return the subject on which the broker tells that the entry of a lease has changed."""
    return f"{PREFIX}.lease.{key}"


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a node may do at the broker.

    Attributes:
        publish: the subjects on which it may publish.
        subscribe: the subjects to which it may subscribe.
    """

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


EXPORTS = (f"$KV.{BUCKET}.*", f"$KV.{LEASE_BUCKET}.*", f"$JS.API.DIRECT.GET.{LEASE_STREAM}.>")
"""What nodes may ask of the account of the buckets."""
EXPORT_OF_ENTRIES = f"$JS.API.DIRECT.GET.{STREAM}"
"""The same, of which the answer is several messages: the entries of the bucket."""
EXPORT_OF_NEWS = f"{PREFIX}.lease.*"
"""What that account tells nodes."""


def permissions_of(number: int) -> Permissions:
    """Return what a node needs to do at the broker, and nothing more.

    Parameters:
        number: the id of the node.
    """
    text = format_id(number)
    publish = (
        beat_of(number),
        all_of(number),
        f"{PREFIX}.to.*.{text}.>",
        entry_of(number),
        EXPORT_OF_ENTRIES,
        lease_entry_of("*"),
        f"$JS.API.DIRECT.GET.{LEASE_STREAM}.>",
    )
    subscribe = (
        f"{PREFIX}.beat.*",
        f"{PREFIX}.all.*",
        f"{PREFIX}.to.{text}.>",
        f"{PREFIX}.inbox.{text}.>",
        lease_news_of("*"),
    )
    return Permissions(publish, subscribe)
