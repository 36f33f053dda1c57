"""The files of the configuration: where they lie, and what stands in them."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from platformdirs import PlatformDirs

from rpcserver.config import ConfigError
from rpcwire.trusted_files import UntrustedFile, read_file

from .layer import Layer
from .lines import Path as KeyPath
from .lines import find_lines, line_of

_SYSTEM_FOLDER = "/etc/rpcserver"

_DIRS = PlatformDirs("rpcserver", appauthor=False)


def user_file() -> Path:
    """The user's own file: ``rpcserver/rpcserver.toml`` in ``XDG_CONFIG_HOME`` on Linux."""
    return _DIRS.user_config_path / "rpcserver.toml"


def system_folder() -> Path:
    """The folder of the machine's configuration: ``/etc/rpcserver``, or the one that systemd names in
    ``CONFIGURATION_DIRECTORY`` (systemd.exec(5))."""
    return Path(os.environ.get("CONFIGURATION_DIRECTORY", "").partition(":")[0] or _SYSTEM_FOLDER)


def system_file() -> Path:
    """The configuration of the machine's server."""
    return system_folder() / "rpcserver.toml"


def find_closed_folder() -> Path | None:
    """Return the folder of the machine's configuration if this user may not even look into it; else ``None``.

    Packages make it so. Then the machine's server is none of this user's, and what the user runs is a server of their
    own. It is another matter if ``CONFIGURATION_DIRECTORY`` names the folder: whoever sets that wants it read.
    """
    folder = system_folder()
    if os.environ.get("CONFIGURATION_DIRECTORY"):
        return None
    try:
        (folder / "rpcserver.toml").stat()
    except PermissionError:
        return folder
    except OSError:
        pass
    return None


def find_files(*, with_machine: bool = True) -> list[Path]:
    """Find the files that a server reads whose command names none. A later one goes before an earlier one.

    They are the machine's file, then those of ``conf.d`` beside it in the order of their names (packages and tools add
    a file each), then the user's own.

    Parameters:
        with_machine: whether to look for those of the machine.

    Raises:
        ConfigError: the folder cannot be listed.
    """
    if not with_machine:
        return [own] if _exists(own := user_file()) else []
    files = [file] if _exists(file := system_file()) else []
    parts = system_folder() / "conf.d"
    try:
        files += sorted(path for path in parts.iterdir() if path.suffix == ".toml" and path.name[0] != ".")
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as exc:
        raise _unreadable(parts, exc) from exc
    return [*files, own] if _exists(own := user_file()) else files


def _exists(file: Path) -> bool:
    """Whether there is such a file, as far as this user may know."""
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as exc:
        raise _unreadable(file, exc) from exc
    return True


def _unreadable(path: Path, exc: OSError) -> ConfigError:
    return ConfigError(f"{path}: {exc.strerror}: let this user read it, or name another file with --config")


def read_layer(file: Path) -> Layer:
    """Read a file.

    Raises:
        ConfigError: it cannot be read, is not TOML, or others may change it.
    """
    try:
        text = read_file(file).decode()
    except UntrustedFile as exc:
        raise ConfigError(f"the configuration: {exc}") from None
    except PermissionError as exc:
        raise _unreadable(file, exc) from exc
    except OSError as exc:
        raise ConfigError(f"{file}: {exc.strerror}: give the path of a TOML file") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{file}: not TOML: {exc}") from exc
    return parse_layer(file, text)


def parse_layer(file: Path, text: str) -> Layer:
    """Make a layer of the text of a file.

    Raises:
        ConfigError: it is not TOML.
    """
    try:
        content = tomllib.loads(text)
    except ValueError as exc:  # Numbers with thousands of digits are no TOMLDecodeError.
        raise ConfigError(f"{file}: not TOML: {exc}") from exc
    except RecursionError:
        raise ConfigError(f"{file}: brackets or braces are nested too deeply: write fewer") from None
    lines: dict[KeyPath, int] | None = None

    def origin(path: KeyPath) -> str:
        nonlocal lines
        if lines is None:
            lines = find_lines(text.replace("\r\n", "\n"))
        line = line_of(lines, path)
        return str(file) if line is None else f"{file}:{line}"

    return Layer(content, origin)
