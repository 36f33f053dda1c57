"""The version of this package. It stands here, too, because to read it from the installed package's metadata loads
thirty modules, and takes a twentieth of the time of a short command. `tests/wire/test_version.py` compares both."""

VERSION = "0.1.0"
