"""Hides what looks like a secret in a command line: who may list processes must not learn other people's passwords."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .secrets import PROGRAMS, SHORT_WORDS, WORDS, SecretPlaces

MASK = "***"

_NAME = re.compile(
    rf"(?:.*[-_.])?(?:(?:{WORDS}|(?:[a-z0-9]*)(?:password|passwd|secret|token|apikey))(?:[-_.].*)?|{SHORT_WORDS})",
    re.IGNORECASE | re.DOTALL,
)
_NOT_SECRET = re.compile(
    r".*(?:file|path|dir|url|name|ttl|type|id|len(?:gth)?|count|size|timeout|expiry|expires)", re.IGNORECASE
)
_ASSIGNMENT = re.compile(r"(?P<name>-{0,2}[A-Za-z][\w.-]*)(?P<sign>[=:])(?P<value>.+)", re.DOTALL)
_URL = re.compile(r"(?P<before>(?<=[A-Za-z0-9+.-])://[^\s/@:]*+:)(?P<secret>[^\s@/]++)(?=@)")
_URL_TOKEN = re.compile(r"(?P<before>https?://)(?P<secret>[^\s/@:]++)(?=@)", re.IGNORECASE)
_QUERY = re.compile(rf"(?P<before>[?&;](?:[\w.-]*[-_.])?(?:{WORDS}|sig|key)=)(?P<secret>[^&;\s\"']+)", re.IGNORECASE)
_HEADER = re.compile(
    r"(?P<before>(?:proxy-)?authorization\s*+[:=]\s*+(?:(?:bearer|basic|digest|token|negotiate)\s++)?+|\bbearer\s++"
    r"|(?:set-)?cookie\s*+:\s*+|(?<![\w-])(?=(?>[\w-]*?x-)[\w-]*?(?:key|token|secret))[\w-]++\s*+:\s*+)"
    r"(?P<secret>[^\"']++)",
    re.IGNORECASE,
)
_INLINE = re.compile(
    r"(?P<before>(?:^|[\s;,{(\"'&?])[\w.-]*(?:password|passwd|passphrase|secret|token|api[-_]?key|pwd)[\"']?\s*[=:]\s*)"
    r"(?P<secret>\"[^\"]*\"?|'[^']*'?|[^\s\"';,&})]+)",
    re.IGNORECASE,
)
_KNOWN_TOKENS = re.compile(
    r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{15,}|xox[abprs]-[\w-]{10,}|sk-[\w-]{16,}"
    r"|AKIA[A-Z0-9]{16})"
)
_WEB_TOKEN = re.compile(r"(?<![\w-])(?P<before>(?>[\w-]*?\beyJ))[\w-]{8,}+\.[\w-]{8,}+\.[\w-]*+")
_SPACES = re.compile(r"(\s+|[;|&]+)")


def redact(command: Sequence[str]) -> list[str]:
    """A command line in which secrets are replaced by ``***``.

    If in doubt, it hides a word. It hides the value of an option whose name stands for a password, a token or a key;
    what :data:`~.secrets.PROGRAMS` lists for well-known programs, wherever they stand (behind ``sudo``, within ``sh
    -c``); passwords in URLs; headers; and tokens of known forms.
    """
    return _Reader().read(command)


class _Reader:
    """Reads a command line word by word."""

    def __init__(self) -> None:
        self._takes: list[SecretPlaces] = []
        """How the programs so far take secrets, the latest first. We keep the earlier ones, because a word with the
        name of a program may mean something else, such as a database called http."""
        self._hides_next = False
        self._plain: list[int] = []
        """The positions of the plain words behind the program."""

    def read(self, command: Sequence[str]) -> list[str]:
        words = [self._word(position, word) for position, word in enumerate(command)]
        if self._takes_last and len(self._plain) > 1:
            words[self._plain[-1]] = MASK
        return words

    @property
    def _takes_last(self) -> bool:
        return any(takes.last for takes in self._takes)

    def _word(self, position: int, word: str) -> str:
        if self._hides_next:
            self._hides_next = False
            # A second option follows, so the first one had no value.
            if not (word.startswith("-") and _is_secret_name(word.lstrip("-").partition("=")[0])):
                return MASK
        program = PROGRAMS.get(word.strip("\"'(").rpartition("/")[2])
        if program is not None:
            if self._takes_last:
                self._plain.append(position)
            else:
                self._plain.clear()
            # A program that takes no secrets replaces the others: the -p of ssh is a port, whatever stood before ssh.
            self._takes = self._with(program) if program != SecretPlaces() else [program]
            return word
        under = [takes.under[word] for takes in self._takes if word in takes.under]
        if under:
            self._takes, self._plain = self._with(*under), [position]
            return word
        if position == 0:
            return _within(word)
        if not word.startswith(("-", "/p", "/gp")):
            self._plain.append(position)
        return next(filter(None, (self._by_program(word, takes) for takes in self._takes)), "") or self._by_name(word)

    def _with(self, *latest: SecretPlaces) -> list[SecretPlaces]:
        """Put ways to take secrets before the others, each once: a command may name a program thousands of times."""
        return [*latest, *(takes for takes in self._takes if takes not in latest)]

    def _by_program(self, word: str, takes: SecretPlaces) -> str:
        """Hide the secret in a word if the program takes one there; an empty text otherwise."""
        head, core = "", word
        if takes.flags and word.startswith("-") and not word.startswith("--"):
            # One dash may introduce several letters; the last one takes the value.
            letters = word[1:].lstrip(takes.flags)
            head, core = word[1 : len(word) - len(letters)], f"-{letters}"
        option, sign, _ = core.partition("=")
        if core in takes.next or core in takes.after:
            self._hides_next = True
            return word
        if sign and option in takes.next:
            return f"{option}={MASK}"
        for start in takes.prefixes:
            if core.startswith(start) and core != start and not core.startswith("--"):
                return f"{start[0]}{head}{start[1:]}{MASK}"
        return ""

    def _by_name(self, word: str) -> str:
        match = _ASSIGNMENT.fullmatch(word)
        if match is not None and _is_secret_name(match["name"].lstrip("-")):
            return f"{match['name']}{match['sign']}{MASK}"
        if word.startswith("-") and match is None and _is_secret_name(word.lstrip("-")):
            self._hides_next = True
        return _within(word)


def _is_secret_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and _NOT_SECRET.fullmatch(name) is None


def _within(word: str) -> str:
    """Hide secrets inside one word, which may be a URL, a header or a script."""
    for pattern in (_HEADER, _URL, _URL_TOKEN, _QUERY, _INLINE):
        word = pattern.sub(lambda match: match["before"] + MASK, word)
    word = _WEB_TOKEN.sub(lambda match: match["before"].removesuffix("eyJ") + MASK, _KNOWN_TOKENS.sub(MASK, word))
    parts = _SPACES.split(word)
    if len(parts) > 1:
        # It is a script: its words form a command line, too.
        parts[::2] = _Reader().read(parts[::2])
        word = "".join(parts)
    return word
