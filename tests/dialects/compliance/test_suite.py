"""All of SQLAlchemy's tests for dialects of third parties."""

from sqlalchemy.testing.suite import *  # noqa: F403
