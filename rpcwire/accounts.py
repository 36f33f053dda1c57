"""Counts bytes that are held for others, and refuses more before they are allocated. Accounts form a tree, such as the
server, its principals and their connections: whatever one holds, those above it hold as well, and each has a limit."""

from __future__ import annotations

from collections import Counter, deque

from .errors import Busy

SMALL_BYTES = 4096
"""Messages up to this size are not counted in bytes: limits on their number bound them."""

COPIES = 2
"""How often a message is in memory while its handler runs: encoded, and decoded."""

RETRY_AFTER_MS = 1000
"""How long a caller should wait after a refusal, in milliseconds."""


class Loan:
    """Bytes that are held now. A loan that nobody refers to any more gives itself back, so that an account loses
    nothing even if an exception keeps somebody from giving back.

    Parameters:
        account: counts them.

    Attributes:
        held_bytes: the number of bytes.
    """

    __slots__ = ("_account", "held_bytes")

    def __init__(self, account: Account) -> None:
        self._account = account
        self.held_bytes = 0

    def resize(self, size_bytes: int) -> None:
        """Hold more bytes, or fewer.

        Parameters:
            size_bytes: the number of bytes to hold from now on.

        Raises:
            Busy: an account has too little room; the loan is as before.
        """
        more = size_bytes - self.held_bytes
        if more > 0:
            self._account.check_room(more)
        self._account.add(more)
        self.held_bytes = size_bytes

    def give_back(self) -> None:
        """Hold nothing any more. It may be called again."""
        self._account.add(-self.held_bytes)
        self.held_bytes = 0

    def __del__(self) -> None:
        if self.held_bytes:
            # The garbage collector may run in any thread, at any moment: leave the counting to the account's own.
            self._account.strays.append((self._account, self.held_bytes))


class Account:
    """The bytes that one holder has, and all below it. All methods belong to one thread.

    Parameters:
        name: what holds them, for a person, such as ``calls of this connection``.
        limit_bytes: the most bytes.
        setting: the name of the setting that says so.
        parent: the account above; ``None`` for the topmost.

    Attributes:
        counted_bytes: the bytes that are held, and ``strays``.
        most_bytes: the most bytes that were held at one time.
        recent_bytes: the same since somebody has last set it to 0.
        strays: what loans held that were forgotten and not given back, with their accounts. It is counted off before
            the next use. All accounts of a tree share it.
        refusals: counts what was refused, by the setting. All accounts of a tree share it.
    """

    __slots__ = (
        "counted_bytes", "limit_bytes", "most_bytes", "name", "parent", "recent_bytes", "refusals", "setting", "strays",
    )  # fmt: skip

    def __init__(self, name: str, limit_bytes: int, setting: str, parent: Account | None = None) -> None:
        self.name = name
        self.limit_bytes = limit_bytes
        self.setting = setting
        self.parent = parent
        self.counted_bytes = 0
        self.most_bytes = 0
        self.recent_bytes = 0
        self.strays: deque[tuple[Account, int]] = deque() if parent is None else parent.strays
        self.refusals: Counter[str] = Counter() if parent is None else parent.refusals

    @property
    def used_bytes(self) -> int:
        """The bytes that are held now."""
        self._count_strays_off()
        return self.counted_bytes

    def take(self, size_bytes: int) -> Loan:
        """Hold some bytes.

        Raises:
            Busy: this account, or one above it, has too little room; nothing is held.
        """
        loan = Loan(self)
        loan.resize(size_bytes)
        return loan

    def has_room(self, size_bytes: int) -> bool:
        """Return whether this account and all above it have room for so many bytes more."""
        return self._narrowest(size_bytes) is None

    def check_room(self, size_bytes: int) -> None:
        """Make sure that this account and all above it have room for so many bytes more.

        Raises:
            Busy: one has not; the message names it, and its setting.
        """
        account = self._narrowest(size_bytes)
        if account is not None:
            self.refusals[account.setting] += 1
            raise Busy(
                f"{account.name}: {account.used_bytes} of {account.limit_bytes} bytes are in use ({account.setting}), "
                f"and {size_bytes} more are asked for: wait for calls to end, send less at once, or raise the limit",
                executed="no",
                retry_after_ms=RETRY_AFTER_MS,
            )

    def add(self, size_bytes: int) -> None:
        """Count bytes, or count them off. Only loans use this."""
        account: Account | None = self
        while account is not None:
            account.counted_bytes += size_bytes
            if account.counted_bytes > account.recent_bytes:
                account.recent_bytes = account.counted_bytes
                account.most_bytes = max(account.most_bytes, account.recent_bytes)
            account = account.parent

    def _narrowest(self, size_bytes: int) -> Account | None:
        """Return the first account, from here upwards, that has too little room; ``None`` if all have enough."""
        account: Account | None = self
        self._count_strays_off()
        while account is not None:
            if account.counted_bytes + size_bytes > account.limit_bytes:
                return account
            account = account.parent
        return None

    def _count_strays_off(self) -> None:
        while self.strays:
            account, size_bytes = self.strays.popleft()
            account.add(-size_bytes)
