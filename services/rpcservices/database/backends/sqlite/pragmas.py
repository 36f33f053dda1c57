"""Settings of SQLite (PRAGMA): those that only read, those that a session may change for itself, those that belong to
the database, and those that are ignored because only the server may set them. All others are refused.

Source: https://sqlite.org/pragma.html
"""

from __future__ import annotations

from dataclasses import dataclass

_DESCRIBING = frozenset({
    "table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list",
    "foreign_key_check", "collation_list", "function_list", "module_list", "pragma_list", "compile_options",
    "database_list", "integrity_check", "quick_check",
})  # fmt: skip
"""These only read, whatever their argument is."""

_TELLING = _DESCRIBING | {
    "analysis_limit", "application_id", "auto_vacuum", "automatic_index", "busy_timeout", "cache_size", "cache_spill",
    "case_sensitive_like", "cell_size_check", "checkpoint_fullfsync", "data_version", "defer_foreign_keys", "encoding",
    "foreign_keys", "freelist_count", "fullfsync", "ignore_check_constraints", "journal_mode",
    "journal_size_limit", "legacy_alter_table", "locking_mode", "max_page_count", "mmap_size", "page_count",
    "page_size", "query_only", "read_uncommitted", "recursive_triggers", "reverse_unordered_selects",
    "schema_version", "secure_delete", "synchronous", "temp_store", "threads", "trusted_schema", "user_version",
    "wal_autocheckpoint", "writable_schema",
}  # fmt: skip
"""These only read if they have no argument."""

OF_THE_CONNECTION = {
    "foreign_keys": 1, "recursive_triggers": 0, "read_uncommitted": 0, "query_only": 0, "case_sensitive_like": 0,
    "automatic_index": 1, "analysis_limit": 0, "legacy_alter_table": 0, "reverse_unordered_selects": 0,
}  # fmt: skip
"""What a session may set for itself, and the value to restore for the next user of the connection."""

_OF_THE_DATABASE = frozenset({
    "user_version", "application_id", "defer_foreign_keys", "optimize", "wal_checkpoint", "incremental_vacuum",
})  # fmt: skip
"""These may be set where changes are allowed: they belong to the database or the transaction, not to the connection."""

_ONLY_AS_IT_IS = frozenset({"encoding", "locking_mode", "secure_delete", "trusted_schema"})
"""Accepted if they ask for the current value. Otherwise the caller gets an error, for the value will not change."""

_NO_CHANGES = frozenset(OF_THE_CONNECTION) | _ONLY_AS_IT_IS | {
    "auto_vacuum", "busy_timeout", "cache_size", "cache_spill", "cell_size_check", "checkpoint_fullfsync",
    "defer_foreign_keys", "fullfsync", "journal_mode", "journal_size_limit", "legacy_file_format", "max_page_count",
    "mmap_size", "optimize", "page_size", "shrink_memory", "synchronous", "temp_store", "threads", "wal_autocheckpoint",
}  # fmt: skip
"""Ignored. They change no result of a statement, only speed, memory and files, which the server decides."""

_ANSWERING = frozenset({
    "journal_mode", "journal_size_limit", "locking_mode", "busy_timeout", "mmap_size", "wal_autocheckpoint", "threads",
    "max_page_count", "secure_delete", "analysis_limit",
})  # fmt: skip
"""When these are set, SQLite answers with the new value."""

_CODES = {
    "synchronous": ("off", "normal", "full", "extra"),
    "temp_store": ("default", "file", "memory"),
    "auto_vacuum": ("none", "full", "incremental"),
}
_BOOLEANS = {"on": "1", "true": "1", "yes": "1", "off": "0", "false": "0", "no": "0"}


def is_allowed(name: str, argument: str | None, *, writing: bool, session: bool) -> bool:
    """Whether a PRAGMA may run.

    Parameters:
        name, argument: as SQLite tells them to the authorizer.
        writing: whether the database may be changed.
        session: whether the connection stays with its user until it is reset.
    """
    name = name.lower()
    if name in _DESCRIBING or (argument is None and name in _TELLING) or (session and name in OF_THE_CONNECTION):
        return True
    return writing and name in _OF_THE_DATABASE


@dataclass(frozen=True, slots=True)
class RefusedPragma:
    """A PRAGMA that may not run.

    Attributes:
        name: its name in small letters.
        argument: the value that it would set; ``None`` where it has none.
        schema: the file that it names; ``None`` where it names none.
    """

    name: str
    argument: str | None
    schema: str | None

    @property
    def is_ignored(self) -> bool:
        """Whether it does nothing, instead of being an error."""
        return self.name in _NO_CHANGES

    @property
    def is_refused_everywhere(self) -> bool:
        """Whether no session could set it either."""
        return not is_allowed(self.name, self.argument, writing=True, session=True)

    @property
    def answers(self) -> bool:
        """Whether SQLite gives a row when it is set."""
        return self.name in _ANSWERING

    @property
    def tells(self) -> bool:
        """Whether SQLite can tell the current value."""
        return self.name in _TELLING

    @property
    def question(self) -> str:
        """The statement that asks for the current value."""
        schema = "" if self.schema is None else '"' + self.schema.replace('"', '""') + '".'
        return f"PRAGMA {schema}{self.name}"

    def __str__(self) -> str:
        return f"PRAGMA {self.name}" + ("" if self.argument is None else f"={self.argument[:64]}")

    def asks_for(self, current: object) -> bool:
        """Whether it would leave everything as it is.

        Parameters:
            current: the current value.
        """
        value = (self.argument or "").lower()
        if self.name in _CODES:
            codes = _CODES[self.name]
            value = str(codes.index(value)) if value in codes else value
        elif current in (0, 1):
            value = _BOOLEANS.get(value, value)
        elif self.name == "encoding" and value == "utf8":
            value = "utf-8"
        return value == str(current).lower()

    def must_be(self, current: object) -> bool:
        """Whether ignoring it would mislead.

        Parameters:
            current: the current value.
        """
        return self.name in _ONLY_AS_IT_IS and not self.asks_for(current)

    def notice(self, current: object) -> str | None:
        """The notice for a caller whose PRAGMA was ignored; ``None`` where it would have changed nothing.

        Parameters:
            current: the current value; ``None`` where SQLite cannot tell.
        """
        if current is not None and self.asks_for(current):
            return None
        if self.name in OF_THE_CONNECTION:
            why = "the connection is lent for this statement only; a session (connect) keeps what it sets"
        elif self.name == "busy_timeout":
            why = "the server's setting busy_timeout_s says how long statements wait for a lock"
        elif self.name in _OF_THE_DATABASE:
            why = "here is only reading"
        else:
            why = "that is for the server to set" if current is None else f"it is {current}, for the server to set"
        return f"{self} is ignored: {why}"
