"""Rows of tables: on the wire, as text, and as data frames."""

# Stubs that were generated before name these here.
from .row import Row as Row
from .rows import Rows as Rows
