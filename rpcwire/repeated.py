"""Stubs that were generated before name this module; it is :mod:`rpcwire.values.repeated` now."""

from rpcwire.values.repeated import Repeated

__all__ = ["Repeated"]
