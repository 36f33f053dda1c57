"""Finds out who a client is by its certificate, which TLS has verified. Nobody is known by a certificate that no table
``[auth.certificates.NAME]`` describes, or that two describe. Names are compared as a whole: there are no wildcards."""

from __future__ import annotations

import hashlib
import re
import ssl
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rpcserver.config import CertificateConfig, ConfigError
from rpcwire.context import Principal

from .named_tokens import RESERVED

METHOD = "certificate"
"""How principals of certificates have authenticated."""

_KEYS = ("subject", "common_name", "san")

_LONG_NAMES = {
    "cn": "commonname", "l": "localityname", "st": "stateorprovincename", "o": "organizationname",
    "ou": "organizationalunitname", "c": "countryname", "street": "streetaddress", "dc": "domaincomponent",
    "uid": "userid", "sn": "surname", "gn": "givenname",
}  # fmt: skip
"""The short names of attributes (RFC 4514, section 3), and those that OpenSSL gives them."""

_SAN_KINDS = {"dns": "DNS", "uri": "URI", "email": "email"}
"""The kinds of alternative names in the configuration, and in certificates as :mod:`ssl` shows them."""

_TYPE = re.compile(r"[ ]*+([A-Za-z][A-Za-z0-9-]*+|[0-9]++(?:\.[0-9]++)++)[ ]*+=[ ]*+")
_VALUE = re.compile(r'(?:[^\\,+"<>;\0]|\\[ "#+,;<=>\\]|(?:\\[0-9A-Fa-f]{2})++)*+')
_ESCAPE = re.compile(r"((?:\\[0-9A-Fa-f]{2})++)|\\(.)", re.DOTALL)

Subject = tuple[frozenset[tuple[str, str]], ...]
"""The parts of a subject, the last one of the certificate first, as RFC 4514 writes it. Each has some attributes."""


def parse_subject(text: str) -> Subject:
    """Read a subject (RFC 4514, section 3).

    Raises:
        ValueError: the text has another form; the message says where.
    """
    parts: list[frozenset[tuple[str, str]]] = []
    attributes: set[tuple[str, str]] = set()
    at = 0
    while True:
        kind = _TYPE.match(text, at)
        if kind is None:
            raise ValueError(f"write ATTRIBUTE=VALUE, with commas between them, at {text[at : at + 20]!r}")
        value = _VALUE.match(text, kind.end())
        assert value is not None, "the pattern matches nothing, too"
        at = value.end()
        if at < len(text) and text[at] not in ",+":
            raise ValueError(f"write a backslash before {text[at]!r}: at {text[at : at + 20]!r}")
        raw = value[0]
        if raw.startswith("#"):
            raise ValueError("values in hexadecimal digits (#...) are not supported: write the value as text")
        attributes.add((_attribute(kind[1]), _unescape(_strip(raw))))
        if text[at : at + 1] != "+":
            parts.append(frozenset(attributes))
            attributes = set()
        if at == len(text):
            return tuple(parts)
        at += 1


def _strip(raw: str) -> str:
    """Remove the spaces at the end that no backslash protects."""
    bare = raw.rstrip(" ")
    return bare + " " if len(bare) < len(raw) and len(bare) - len(bare.rstrip("\\")) & 1 else bare


def _unescape(raw: str) -> str:
    def plain(match: re.Match[str]) -> str:
        return match[2] if match[1] is None else bytes.fromhex(match[1].replace("\\", "")).decode()

    return _ESCAPE.sub(plain, raw)


def _attribute(name: str) -> str:
    lower = name.lower()
    return _LONG_NAMES.get(lower, lower)


def _subject_of(certificate: Mapping[str, Any]) -> Subject:
    parts = certificate.get("subject", ())
    return tuple(frozenset((_attribute(name), value) for name, value in part) for part in reversed(parts))


def parse_san(text: str) -> tuple[str, str]:
    """Read an alternative name of the configuration: its kind and its value, in their one form.

    Raises:
        ValueError: the kind is unknown, the value is empty or has a wildcard.
    """
    kind, _, value = text.partition(":")
    if kind.lower() not in _SAN_KINDS or not value:
        raise ValueError('write "dns:NAME", "uri:URI" or "email:ADDRESS"')
    if "*" in value and kind.lower() != "uri":
        raise ValueError("there are no wildcards: make a table for each principal, or issue certificates with one name")
    return _one_form(_SAN_KINDS[kind.lower()], value)


def _one_form(kind: str, value: str) -> tuple[str, str]:
    """Return an alternative name in the one form of all that are equal: hosts have no case (RFC 4343)."""
    if kind == "DNS":
        value = value.lower().removesuffix(".")
    elif kind == "email":
        local, _, host = value.rpartition("@")
        value = f"{local}@{host.lower()}"
    return kind, value


@dataclass(frozen=True, slots=True)
class _Description:
    """What a certificate must have, each ``None`` if it does not matter."""

    subject: Subject | None
    common_name: str | None
    san: tuple[str, str] | None

    def fits(self, subject: Subject, common_names: Collection[str], sans: Collection[tuple[str, str]]) -> bool:
        return (
            (self.subject is None or self.subject == subject)
            and (self.common_name is None or list(common_names) == [self.common_name])
            and (self.san is None or self.san in sans)
        )


class Certificates:
    """The certificates that identify somebody.

    Parameters:
        sections: the tables ``[auth.certificates.NAME]``.

    Raises:
        ConfigError: a table is malformed or has a name that the server gives itself, or two describe the same
            certificates.
    """

    def __init__(self, sections: Mapping[str, CertificateConfig]) -> None:
        self._descriptions: dict[_Description, tuple[str, str]] = {}
        for name, section in sections.items():
            if name in RESERVED:
                raise ConfigError(f"auth.certificates.{name}: the server gives this name itself: choose another one")
            description = _describe(name, section)
            other, _ = self._descriptions.setdefault(description, (name, section.role))
            if other != name:
                raise ConfigError(f"auth.certificates.{name}: {other} describes the same certificates")

    def __bool__(self) -> bool:
        return bool(self._descriptions)

    def principals(self) -> Iterator[Principal]:
        """Yield everybody whom a table describes."""
        yield from (Principal(name, METHOD, role=role) for name, role in self._descriptions.values())

    def principal(self, certificate: Mapping[str, Any], der: bytes) -> Principal:
        """Find out who shows a certificate.

        Parameters:
            certificate: the certificate, verified, as :meth:`ssl.SSLSocket.getpeercert` returns it.
            der: the same in DER.

        Raises:
            LookupError: it identifies nobody; the message says why.
        """
        if seconds_left(certificate) <= 0:
            raise LookupError("it has expired")
        subject = _subject_of(certificate)
        common_names = [value for part in subject for name, value in part if name == "commonname"]
        sans = {_one_form(kind, str(value)) for kind, value in certificate.get("subjectAltName", ())}
        fitting = [
            who for description, who in self._descriptions.items() if description.fits(subject, common_names, sans)
        ]
        if not fitting:
            raise LookupError("no table of auth.certificates fits it")
        if len(fitting) > 1:
            raise LookupError(f"several tables of auth.certificates fit it: {', '.join(name for name, _ in fitting)}")
        ((name, role),) = fitting
        return Principal(name, METHOD, role=role, credential=hashlib.sha256(der).hexdigest())


def seconds_left(certificate: Mapping[str, Any]) -> float:
    """Return how long a certificate is still valid, in seconds; 0 or less if it has expired.

    Parameters:
        certificate: as :meth:`ssl.SSLSocket.getpeercert` returns it.
    """
    return ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()


def describe(certificate: Mapping[str, Any]) -> str:
    """Describe a certificate for a person: its subject and its alternative names."""
    subject = ", ".join(f"{name}={value}" for part in certificate.get("subject", ()) for name, value in part)
    names = ", ".join(f"{kind}:{value}" for kind, value in certificate.get("subjectAltName", ()))
    return "; ".join(filter(None, (subject, names))) or "no names"


def check_roles(sections: Mapping[str, CertificateConfig], roles: Collection[str]) -> None:
    """Refuse roles that do not exist.

    Parameters:
        sections: the tables ``[auth.certificates.NAME]``.
        roles: the names of all roles.

    Raises:
        ConfigError: a table names a role that does not exist.
    """
    for name, section in sections.items():
        if section.role and section.role not in roles:
            raise ConfigError(
                f"auth.certificates.{name}.role: there is no role {section.role!r}; there are: "
                f"{', '.join(sorted(roles))}"
            )


def _describe(name: str, section: CertificateConfig) -> _Description:
    if not any(getattr(section, key) for key in _KEYS):
        raise ConfigError(f"auth.certificates.{name}: set one of {', '.join(_KEYS)}: whose certificate it is")
    values: dict[str, Any] = {}
    for key, parse in (("subject", parse_subject), ("common_name", str), ("san", parse_san)):
        text: str = getattr(section, key)
        try:
            values[key] = parse(text) if text else None
        except ValueError as exc:
            raise ConfigError(f"auth.certificates.{name}.{key}: {exc}") from None
    return _Description(**values)
