"""Names of tables and columns as SQL wants them: when they need quotes, in which kind of database, and which."""

from __future__ import annotations

import re

NAME = r'(?:"(?:[^"]|"")*"|`(?:[^`]|``)*`|[\w$]+)'
"""A name, quoted or not, as a regular expression."""

_PLAIN = {
    "postgresql": re.compile(r"[a-z_][a-z0-9_$]*"),  # Capital letters would be taken for small ones.
    "mysql": re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*"),
}
_PLAIN_ELSEWHERE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEYWORDS = frozenset(
    re.findall(
        r"\w+",
        """
    abort add all alter always analyze and any array as asc attach authorization before begin between both by call
    cascade case cast change check collate column commit condition conflict constraint create cross current
    current_date current_role current_time current_timestamp current_user cursor database databases date_add default
    deferrable deferred delete desc describe detach distinct div do drop each else end escape except exclusive
    exists explain false fetch filter first following for force foreign freeze from full function generated glob
    grant group groups having if ignore ilike immediate in index indexed initially inner insert instead intersect
    interval into is isnull join key keys kill last lateral leading left like limit lines load localtime
    localtimestamp lock match materialized mod natural no not nothing notnull null nulls of offset on only option or
    order others outer over overlaps partition placing plan pragma preceding primary procedure query raise range
    rank read recursive references regexp reindex release rename repeat replace require restrict returning revoke
    right rlike rollback row row_number rows savepoint schema select session_user set show similar some sql ssl
    starting symmetric system table tablesample temp temporary terminated then ties to trailing transaction trigger
    true unbounded undo union unique unlock unsigned update usage use user using vacuum values variadic varying
    verbose view virtual when where while window with within without write xor zerofill
    """,
    )
)
"""Words that one of the databases takes for its own. To quote a name that needs no quotes does no harm."""


def quote_of(dialect: str) -> str:
    """The sign around a quoted name."""
    return "`" if dialect in ("mysql", "mariadb") else '"'


def quote(name: str, dialect: str, *, always: bool = False) -> str:
    """A name as it stands in a statement: with quotes where it needs them.

    Parameters:
        name: the name itself.
        dialect: the kind of database.
        always: with quotes in any case.
    """
    plain = _PLAIN.get("mysql" if dialect == "mariadb" else dialect, _PLAIN_ELSEWHERE)
    if not always and plain.fullmatch(name) and name.lower() not in _KEYWORDS:
        return name
    sign = quote_of(dialect)
    return sign + name.replace(sign, sign * 2) + sign


def unquote(text: str) -> str:
    """The name itself."""
    sign = text[:1]
    if len(text) > 1 and sign in ('"', "`") and text.endswith(sign):
        return text[1:-1].replace(sign * 2, sign)
    return text


_NAME_WITH_SCHEMA = re.compile(rf"(?:(?P<schema>{NAME}|[^\"`.]+)\.)?(?P<name>\"(?:[^\"]|\"\")*\"|`(?:[^`]|``)*`)")


def schema_and_name(text: str) -> tuple[str | None, str]:
    """What a person means by ``zone``, ``My Tab``, ``"My Tab"``, ``public.zone`` or ``public."My.Tab"``.

    Returns:
        The schema, ``None`` where none is named, and the name.
    """
    match = _NAME_WITH_SCHEMA.fullmatch(text)
    if match is not None:
        schema = match["schema"]
        return None if schema is None else unquote(schema), unquote(match["name"])
    schema, _, name = text.rpartition(".")
    return unquote(schema) or None, name
