"""Named tokens: what is known of each, and what can be done with them. Nothing here reads a file or a clock.

A token is 256 random bits behind a prefix that tools for finding secrets can recognise. Only its SHA-256 is kept: a
token has too many bits to guess, so that a slow hash would protect nothing more."""

from __future__ import annotations

import difflib
import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from rpcserver.config import UNIX
from rpcwire.context import OWNER, Principal

PREFIX = "rpct_"
"""The beginning of each named token."""

RESERVED = (OWNER, "memory")
"""Names that no token may have, because the server gives them itself."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")

MOST_TOKENS = 10_000
"""The most tokens in a file, those included that are valid no more. To make room, those are forgotten whose revocation
is the longest ago."""


LATEST_S = 253_402_300_799.0
"""The end of the year 9999, in seconds since 1970. No later time can be written down (ISO 8601)."""


class TokenError(ValueError):
    """Something cannot be done with a token; the message says why, and the remedy."""


def check_name(name: str) -> str:
    """Return the name of a token if it may have this name.

    Raises:
        TokenError: it may not.
    """
    if name in RESERVED:
        raise TokenError(f"the name {name} is reserved: choose another one")
    if not NAME.fullmatch(name):
        raise TokenError(
            f"{name[:80]!r} is no name for a token: write 1 to 64 of the characters A-Z a-z 0-9 . _ @ -, beginning "
            "with a letter or a digit"
        )
    return name


def check_network(text: str) -> str:
    """Return a network in its one form.

    Raises:
        TokenError: the text is neither an address or a network, nor ``"unix"``.
    """
    if text == UNIX:
        return text
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as exc:
        raise TokenError(f"network: {exc}: write an address, a network such as 10.0.0.0/8, or {UNIX}") from None


def check_role(role: str, roles: Mapping[str, object] | frozenset[str]) -> None:
    """Check that there is a role.

    Parameters:
        role: the name of the role.
        roles: the names of the roles in the configuration.

    Raises:
        TokenError: there is none of this name.
    """
    names = sorted({OWNER, *roles})
    if role not in names:
        near = difflib.get_close_matches(role[:100], names, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names)}"
        raise TokenError(f"there is no role {role[:100]!r} in the configuration: {hint}")


def check_expiry(expires: float, now: float) -> None:
    """Check that a token may expire at a time.

    Parameters:
        expires: that time, in seconds since 1970.
        now: the time now.

    Raises:
        TokenError: it has passed, or is after the year 9999.
    """
    if expires <= now:
        raise TokenError("expires: this time has passed: give a later one")
    if expires > LATEST_S:
        raise TokenError("expires: this time is after the year 9999: leave it out, so that the token never expires")


def digest_of(text: str) -> str:
    """Return the SHA-256 of a token, in hexadecimal digits. Any text has one, even one that is not valid Unicode."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


_Network = Annotated[str, AfterValidator(check_network)]
_Name = Annotated[str, AfterValidator(check_name)]
_Time = Annotated[float, Field(ge=0, le=LATEST_S)]


class NamedToken(BaseModel):
    """What is kept of a token. Times are in seconds since 1970.

    Attributes:
        id: what tells apart the tokens of one name. It is no secret.
        name: the name of whoever has it.
        role: their role.
        digest: the SHA-256 of the token; empty once it is revoked.
        created: when it was made.
        expires: when it ends to be valid; ``None`` for never.
        networks: the networks from which it is accepted, ``"unix"`` for the Unix socket; all if there are none.
        last_used: when somebody last authenticated by it, to the minute; ``None`` for never.
        state: ``current``; ``replaced`` if a newer one of this name was made by a rotation; or ``revoked``.
        revoked: when it was revoked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    name: _Name
    role: Annotated[str, Field(min_length=1)]
    digest: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    created: _Time
    expires: _Time | None = None
    networks: tuple[_Network, ...] = ()
    last_used: _Time | None = None
    state: Literal["current", "replaced", "revoked"] = "current"
    revoked: _Time | None = None

    def is_valid(self, now: float) -> bool:
        """Return whether somebody may authenticate by it.

        Parameters:
            now: the time.
        """
        return self.state != "revoked" and (self.expires is None or now < self.expires)

    def is_accepted_from(self, origin: str) -> bool:
        """Return whether it is accepted from an address.

        Parameters:
            origin: the address of the client; a word that stands for it where there is none, such as
                ``unix:uid=1000``.
        """
        if not self.networks:
            return True
        if origin.startswith(f"{UNIX}:"):
            return UNIX in self.networks
        try:
            address = ipaddress.ip_address(origin)
        except ValueError:
            return False
        return any(address in ipaddress.ip_network(text) for text in self.networks if text != UNIX)

    @property
    def principal(self) -> Principal:
        """Whoever has it."""
        return Principal(self.name, "token", role=self.role, credential=self.id)


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of the credentials of somebody.

    Attributes:
        name: their name.
        at: when that was, in seconds since 1970.
    """

    name: str
    at: float


class TokenSet(BaseModel):
    """All named tokens. Each change makes a new set.

    Attributes:
        format: the version of the file's format.
        tokens: the tokens.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    tokens: Annotated[tuple[NamedToken, ...], Field(max_length=MOST_TOKENS)] = ()

    def create(
        self, name: str, role: str, now: float, *, expires: float | None = None, networks: tuple[str, ...] = ()
    ) -> tuple[TokenSet, str]:
        """Make a token.

        Parameters:
            name, role, expires, networks: as of :class:`NamedToken`.
            now: the time, in seconds since 1970.

        Returns:
            The new set, and the token itself, which is kept nowhere.

        Raises:
            TokenError: there is a valid token of this name, a parameter is malformed, or there are too many tokens.
        """
        check_name(name)
        if any(token.name == name and token.is_valid(now) for token in self.tokens):
            raise TokenError(f"there is a token {name} already: rotate it, or revoke it first")
        text, token = _make(name, role, now, expires=expires, networks=networks)
        return self._with([_end(each, now) if each.name == name else each for each in self.tokens], token), text

    def revoke(self, name: str, now: float) -> TokenSet:
        """Make all tokens of a name invalid, at once.

        Raises:
            TokenError: there is no token of this name that is not revoked yet.
        """
        if not self._of(name):
            raise self._missing(name)
        rest = [token for token in self.tokens if token.name != name]
        last = max(self._of(name), key=lambda token: token.created)
        return self._with(rest, last.model_copy(update={"state": "revoked", "digest": "", "revoked": now}))

    def rotate(self, name: str, overlap_s: float, now: float, *, expires: float | None = None) -> tuple[TokenSet, str]:
        """Replace the token of a name by a new one, with the same role and networks.

        Parameters:
            name: the name.
            overlap_s: how long the old one stays valid, in seconds.
            now: the time, in seconds since 1970.
            expires: when the new one expires; ``None`` for the time that the old one had from its making.

        Returns:
            As of :meth:`create`.

        Raises:
            TokenError: there is no valid token of this name, a parameter is malformed, or there are too many tokens.
        """
        old = next((token for token in self._of(name) if token.state == "current" and token.is_valid(now)), None)
        if old is None:
            raise self._missing(name, "valid ")
        if expires is None and old.expires is not None:
            expires = now + old.expires - old.created
        text, token = _make(name, old.role, now, expires=expires, networks=old.networks)
        until = now + overlap_s if old.expires is None else min(now + overlap_s, old.expires)
        predecessor = old.model_copy(update={"state": "replaced", "expires": until})
        rest = [each for each in self.tokens if each.name != name or each.state == "revoked"]
        return self._with([*rest, predecessor], token), text

    def change(
        self,
        name: str,
        now: float,
        *,
        role: str | None = None,
        expires: float | None = None,
        networks: tuple[str, ...] | None = None,
    ) -> TokenSet:
        """Change what the tokens of a name are good for, without a new token.

        Parameters:
            name: the name.
            now: the time, in seconds since 1970.
            role, networks: as of :class:`NamedToken`; ``None`` to leave them.
            expires: as of :class:`NamedToken`, for the current token; ``None`` to leave it.

        Raises:
            TokenError: there is no valid token of this name, or a parameter is malformed.
        """
        if not any(token.is_valid(now) for token in self._of(name)):
            raise self._missing(name, "valid ")
        update: dict[str, object] = {} if role is None else {"role": role}
        if networks is not None:
            update["networks"] = tuple(map(check_network, networks))
        if expires is not None:
            check_expiry(expires, now)

        def apply(token: NamedToken) -> NamedToken:
            if token.name != name or not token.is_valid(now):
                return token
            more = {"expires": expires} if expires is not None and token.state == "current" else {}
            return token.model_copy(update={**update, **more})

        return TokenSet(tokens=tuple(map(apply, self.tokens)))

    def with_uses(self, uses: Mapping[str, float]) -> TokenSet:
        """Note when tokens were used. Of tokens that there are no more nothing is noted.

        Parameters:
            uses: the times, in seconds since 1970, by the ids of tokens.
        """
        if not any(uses.get(token.id, 0) > (token.last_used or 0) for token in self.tokens):
            return self
        return TokenSet(
            tokens=tuple(
                token.model_copy(update={"last_used": max(uses.get(token.id, 0), token.last_used or 0) or None})
                for token in self.tokens
            )
        )

    def without_uses(self) -> TokenSet:
        """Return the same tokens, without when they were used."""
        return TokenSet(tokens=tuple(token.model_copy(update={"last_used": None}) for token in self.tokens))

    def next_expiry(self, now: float) -> float | None:
        """Return when the next token expires; ``None`` if none will."""
        return min(
            (token.expires for token in self.tokens if token.expires is not None and token.is_valid(now)), default=None
        )

    def endings(self, now: float) -> Iterator[Ending]:
        """Yield the ends of credentials: of each name that was revoked, and of each that has no valid token any more.
        A token that a rotation has replaced is no such end."""
        valid_names = {token.name for token in self.tokens if token.is_valid(now)}
        for token in self.tokens:
            if token.revoked is not None:
                yield Ending(token.name, token.revoked)
            elif token.expires is not None and token.state == "current" and token.name not in valid_names:
                yield Ending(token.name, token.expires)

    def _of(self, name: str) -> list[NamedToken]:
        return [token for token in self.tokens if token.name == name and token.state != "revoked"]

    def _missing(self, name: str, kind: str = "") -> TokenError:
        names = sorted({token.name for token in self.tokens if token.state != "revoked"})
        near = difflib.get_close_matches(name[:100], names, 1)
        hint = f"did you mean {near[0]}?" if near else "`rpcserver token list` shows those there are"
        return TokenError(f"there is no {kind}token {name[:100]!r}: {hint}")

    @staticmethod
    def _with(rest: list[NamedToken], token: NamedToken) -> TokenSet:
        revocations = sorted((each for each in rest if each.state == "revoked"), key=lambda each: each.revoked or 0)
        last = {each.name: each for each in revocations}  # Of each name that was revoked, the last time is enough.
        tokens = [*(each for each in rest if each.state != "revoked" or last[each.name] is each), token]
        surplus = len(tokens) - MOST_TOKENS
        if surplus > len(last):
            raise TokenError(f"there are {MOST_TOKENS} tokens already: revoke some that nobody uses")
        for each in list(last.values())[: max(surplus, 0)]:  # Those whose end is the longest ago.
            tokens.remove(each)
        return TokenSet(tokens=tuple(tokens))


def _make(
    name: str, role: str, now: float, *, expires: float | None, networks: tuple[str, ...]
) -> tuple[str, NamedToken]:
    text = PREFIX + secrets.token_urlsafe(32)
    if expires is not None:
        check_expiry(expires, now)
    if not role:
        raise TokenError("role: must not be empty: name a role of the configuration")
    return text, NamedToken(
        id=secrets.token_hex(8),
        name=name,
        role=role,
        digest=digest_of(text),
        created=now,
        expires=expires,
        networks=tuple(map(check_network, networks)),
    )


def _end(token: NamedToken, now: float) -> NamedToken:
    """Return a token that has expired as one that was revoked then: its name will belong to a new one."""
    if token.state == "revoked":
        return token
    return token.model_copy(update={"state": "revoked", "digest": "", "revoked": token.expires or now})


class NamedTokens:
    """The named tokens by which somebody may authenticate now.

    Parameters:
        clock: tells the time, in seconds since 1970.

    Attributes:
        known: all tokens.
        uses: when tokens were used since that was last written down, by their ids.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.uses: dict[str, float] = {}
        self.replace(TokenSet())

    def replace(self, tokens: TokenSet) -> None:
        """Accept these tokens from now on, and no others."""
        self.known = tokens
        self._by_digest = {token.digest: token for token in tokens.tokens if token.digest}
        self._by_id = {token.id: token for token in tokens.tokens if token.digest}

    def principal(self, text: str) -> Principal | None:
        """Return whoever has a token; ``None`` if the token is wrong. The time that the look-up takes may depend on the
        digest, from which nobody can tell anything about a right token; the comparison takes the same time always."""
        digest = digest_of(text)
        token = self._by_digest.get(digest)
        if token is None or not hmac.compare_digest(token.digest, digest) or not token.is_valid(self._clock()):
            return None
        return token.principal

    def renew(self, principal: Principal, origin: str) -> Principal | None:
        """Return who somebody is now who has authenticated by a named token; ``None`` if it is valid no more.

        Parameters:
            principal: who they were.
            origin: their address.
        """
        token = self._by_id.get(principal.credential)
        if token is None or not token.is_valid(self._clock()) or not token.is_accepted_from(origin):
            return None
        return token.principal

    def current(self, principal: Principal) -> Principal | None:
        """Return who somebody is now who has authenticated by a named token, whatever their address; ``None`` if it is
        valid no more."""
        token = self._by_id.get(principal.credential)
        return token.principal if token is not None and token.is_valid(self._clock()) else None

    def networks_of(self, principal: Principal) -> tuple[str, ...]:
        """Return the networks from which the token of a principal is accepted."""
        token = self._by_id.get(principal.credential)
        return () if token is None else token.networks

    def note_use(self, principal: Principal) -> None:
        """Note that somebody has authenticated by a named token."""
        self.uses[principal.credential] = self._clock()

    def forget_uses(self, uses: Mapping[str, float]) -> None:
        """Forget when tokens were used, because that is written down. Later uses stay.

        Parameters:
            uses: the times that are written down, by the ids of tokens.
        """
        self.uses = {token_id: at for token_id, at in self.uses.items() if at != uses.get(token_id)}
