"""The version that is written into the code is that of the package."""

from __future__ import annotations

from importlib.metadata import version

from rpcwire.version import VERSION


def test_the_version_is_that_of_the_package() -> None:
    assert version("remote-services") == VERSION
