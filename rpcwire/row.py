"""Stubs that were generated before name this module; it is :mod:`rpcwire.rows.row` now."""

from rpcwire.rows.row import Row

__all__ = ["Row"]
