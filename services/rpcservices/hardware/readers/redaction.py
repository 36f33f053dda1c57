"""Hides what looks like a secret in a command line: who may list processes must not learn other people's passwords."""

from __future__ import annotations

import re
from collections.abc import Sequence

HIDDEN = "***"

_WORD = (
    r"pass(?:word|wd|phrase)?|pwd|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|auth(?:orization|[-_]?key)?"
    r"|credentials?|cookie|bearer|sas|signature|dsn|connection[-_]?string"
)
_NAME = re.compile(
    rf"(?:.*[-_.])?(?:{_WORD}|(?:[a-z0-9]*)(?:password|passwd|secret|token|apikey))(?:[-_.].*)?", re.IGNORECASE
)
_NOT_SECRET = re.compile(
    r".*(?:file|path|dir|url|name|ttl|type|id|len(?:gth)?|count|size|timeout|expiry|expires)", re.IGNORECASE
)
_ASSIGNED = re.compile(r"(?P<name>-{0,2}[A-Za-z][\w.-]*)(?P<sign>[=:])(?P<value>.+)", re.DOTALL)
_URL = re.compile(r"(?P<before>[A-Za-z][A-Za-z0-9+.-]*://[^\s/@:]*:)(?P<secret>[^\s@/]+)(?=@)")
_QUERY = re.compile(rf"(?P<before>[?&;](?:[\w.-]*[-_.])?(?:{_WORD}|sig|key)=)(?P<secret>[^&;\s\"']+)", re.IGNORECASE)
_HEADER = re.compile(
    r"(?P<before>(?:proxy-)?authorization\s*[:=]\s*(?:(?:bearer|basic|digest|token|negotiate)\s+)?|\bbearer\s+"
    r"|(?:set-)?cookie\s*:\s*|x-[\w-]*(?:key|token|secret)[\w-]*\s*:\s*)(?P<secret>[^\"']+)",
    re.IGNORECASE,
)
_INLINE = re.compile(
    r"(?P<before>(?:^|[\s;,{\"'&?])[\w.-]*(?:password|passwd|passphrase|secret|token|api[-_]?key|pwd)[\"']?\s*[=:]\s*[\"']?)"
    r"(?P<secret>[^\s\"';,&}]+)",
    re.IGNORECASE,
)
_KNOWN = re.compile(
    r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{15,}|xox[abprs]-[\w-]{10,}|sk-[\w-]{16,}"
    r"|AKIA[A-Z0-9]{16}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
)
_SHORT = {
    "mysql": "-p", "mysqldump": "-p", "mysqladmin": "-p", "mariadb": "-p", "mariadb-dump": "-p", "sshpass": "-p",
    "curl": "-u", "wget": "", "redis-cli": "-a", "ldapsearch": "-w", "ldapmodify": "-w", "smbclient": "-U",
    "mongosh": "-p", "mongo": "-p", "sqlcmd": "-P", "snmpwalk": "-A", "htpasswd": "", "7z": "-p", "zip": "-P",
}  # fmt: skip
"""Programs whose short option takes a password, alone or in the same word."""


def redact(command: Sequence[str]) -> list[str]:
    """A command line in which secrets are replaced by ``***``.

    It errs on the side of hiding: a value behind an option whose name speaks of a password, a token or a key; a short
    option that takes a password in some well-known programs; passwords in URLs; headers; tokens of known shapes.
    """
    found: list[str] = []
    short = _SHORT.get(command[0].rpartition("/")[2], "") if command else ""
    hide_next = False
    for position, word in enumerate(command):
        if hide_next:
            hide_next = False
            # An option behind an option: the first took no value after all.
            if not (word.startswith("-") and _is_secret_name(word.lstrip("-").partition("=")[0])):
                found.append(HIDDEN)
                continue
        if position == 0:
            found.append(_within(word))
            continue
        if short and word.startswith(short) and not word.startswith("--"):
            found.append(short if word == short else short + HIDDEN)
            hide_next = word == short and not (short == "-p" and "my" in command[0])
            continue
        match = _ASSIGNED.fullmatch(word)
        if match is not None and _is_secret_name(match["name"].lstrip("-")):
            found.append(f"{match['name']}{match['sign']}{HIDDEN}")
            continue
        if word.startswith("-") and match is None and _is_secret_name(word.lstrip("-")):
            hide_next = True
        found.append(_within(word))
    return found


def _is_secret_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and _NOT_SECRET.fullmatch(name) is None


def _within(word: str) -> str:
    """Secrets inside one word: a URL, a header, a script."""
    for pattern in (_HEADER, _URL, _QUERY, _INLINE):
        word = pattern.sub(lambda match: match["before"] + HIDDEN, word)
    return _KNOWN.sub(HIDDEN, word)
