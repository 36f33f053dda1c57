"""Which roles of PostgreSQL reach beyond its databases."""

from __future__ import annotations

from typing import Any

import psycopg

_REACH_QUERY = """
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_roles g
    WHERE (pg_has_role(current_user, g.oid, 'MEMBER') OR pg_has_role(session_user, g.oid, 'MEMBER'))
    AND (g.rolsuper
         OR g.rolname IN ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')
         OR g.rolcreaterole AND current_setting('server_version_num')::int < 160000
         OR EXISTS (
             SELECT FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace
             AND p.proname IN ('pg_read_file', 'pg_read_binary_file', 'lo_import', 'lo_export')
             AND has_function_privilege(g.oid, p.oid, 'EXECUTE'))))
"""
"""Asks whether the role, or one that it may take, can reach the machine's files. Before PostgreSQL 16, CREATEROLE was
enough to become a member of the roles that can."""


async def reaches_beyond(driver: psycopg.AsyncConnection[Any]) -> bool:
    """Whether the role of a connection, or one that it may take, may read files or run programs on the database's
    machine."""
    cursor = await driver.execute(_REACH_QUERY)
    row = await cursor.fetchone()
    return row is None or bool(row[0])
