"""The suite's own world: it is copied into an empty folder and run there by a pytest of its own (see ``runner.py``).

What is set up otherwise here than the suite does for native drivers, ``ADJUSTED`` in ``test_compliance.py`` lists, with the
reasons.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("sqlalchemy.testing.assertions")  # Before anything imports it.

import sqlalchemy.dialects.postgresql.provision
import sqlalchemy.dialects.sqlite.provision  # noqa: F401 - a dialect's own way of setting up a database
from sqlalchemy.testing import provision
from sqlalchemy.testing.plugin.pytestplugin import *  # noqa: F403

_configure_native = provision.post_configure_engine.fns["sqlite"]
_driver_url_native = provision.generate_driver_url.fns["sqlite"]


@provision.post_configure_engine.for_db("sqlite")
def _configure(url, engine, follower_ident):
    """The native driver attaches ``test_schema`` on each connection; a remote database has it by configuration."""
    if engine.driver != "rpc":
        _configure_native(url, engine, follower_ident)


@provision.generate_driver_url.for_db("sqlite")
def _driver_url(url, driver, query_str):
    """The name of a remote database is no file's."""
    return url if url.get_driver_name().startswith("rpc") else _driver_url_native(url, driver, query_str)


@provision.post_configure_engine.for_db("postgresql")
def _configure_postgresql(url, engine, follower_ident):
    """The suite would create the extensions citext and hstore: the first a PostgreSQL from a wheel does not have."""
