"""The database service: queries, changes, streams and transactions over any SQL database."""

from .config import DatabaseConfig, DatabaseServiceConfig
from .service import Database

__all__ = ["Database", "DatabaseConfig", "DatabaseServiceConfig"]
