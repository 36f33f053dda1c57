"""All of SQLAlchemy's tests for dialects of third parties."""

from sqlalchemy.testing.suite import *  # noqa: F403
from sqlalchemy.testing.suite import ServerSideCursorsTest as _ServerSideCursorsTest


class ServerSideCursorsTest(_ServerSideCursorsTest):
    """The suite knows by a driver's name how to ask its cursors, and ours it does not know."""

    def _is_server_side(self, cursor):
        return cursor.server_side if self.engine.dialect.driver == "rpc" else super()._is_server_side(cursor)
