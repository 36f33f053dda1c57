"""Which rights of a role in MariaDB or MySQL reach beyond its databases. We read the server's own list of grants: those
of the role, of each role that it may take by SET ROLE, and of PUBLIC.

Source: https://mariadb.com/kb/en/show-grants/ and https://dev.mysql.com/doc/refman/8.4/en/show-grants.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_ADMINISTER = frozenset({
    "FILE", "SUPER", "SHUTDOWN", "CREATE USER", "SET USER", "CONNECTION ADMIN", "READ_ONLY ADMIN",
    "CONNECTION_ADMIN", "ROLE_ADMIN", "SET_USER_ID", "SET_ANY_DEFINER", "SYSTEM_USER", "SYSTEM_VARIABLES_ADMIN",
})  # fmt: skip
_OF_TABLES = frozenset({
    "ALL", "ALL PRIVILEGES", "SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "TRIGGER", "EVENT",
    "CREATE VIEW", "CREATE ROUTINE", "ALTER ROUTINE", "INDEX", "DELETE HISTORY",
})  # fmt: skip
"""One of these on the schema ``mysql`` gives access to accounts, their passwords and the server's plugins."""

_GRANT = re.compile(
    r"GRANT (?P<rights>.+?) ON (?P<schema>\*|`(?:[^`]|``)*`|\"(?:[^\"]|\"\")*\"|[^\s.]+)\.(?P<table>.+?) TO "
)
_PARTS = re.compile(r"\([^)]*\)")


def _covers_accounts(schema: str, table: str) -> bool:
    """Whether the level of a grant, as the server writes it, includes the schema ``mysql``."""
    if schema == "*":
        return True
    name = schema[1:-1] if schema[0] in '`"' else schema
    if table != "*":
        return name.lower() == "mysql"
    wild: dict[str, str] = {"%": ".*", "_": "."}
    parts: list[str] = re.findall(r"\\.|.", name, re.DOTALL)
    pattern = "".join(wild.get(part) or re.escape(part[-1]) for part in parts)
    return re.fullmatch(pattern, "mysql", re.IGNORECASE) is not None


def reaching_beyond(grants: Iterable[str]) -> str | None:
    """The first right that reaches beyond the role's databases.

    Parameters:
        grants: the lines of SHOW GRANTS.

    Returns:
        Its name and level, such as ``FILE on *.*``; ``None`` where there is none.
    """
    for grant in grants:
        parts = _GRANT.match(grant)
        if parts is None:
            continue  # It grants a role, whose own grants we read too, or a routine.
        rights = {right.strip().upper() for right in _PARTS.sub("", parts["rights"]).split(",")}
        wrong = rights & _ADMINISTER
        if _covers_accounts(parts["schema"], parts["table"]):
            wrong |= rights & _OF_TABLES
        if wrong:
            return f"{min(wrong)} on {parts['schema']}.{parts['table']}"
    return None
