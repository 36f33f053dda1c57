"""The suite's own world: it is copied into an empty folder and run there by a pytest of its own (see ``runner.py``)."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("sqlalchemy.testing.assertions")

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
    return url if url.get_driver_name() == "rpc" else _driver_url_native(url, driver, query_str)
