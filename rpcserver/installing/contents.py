"""What an installation consists of: each file, its place and what stands in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from rpcserver.config import ConfigError

from .layout import Layout
from .units import fit_socket, fit_unit

SERVICES = ("rpcserver.service", "rpcserver-strict.service")
"""The units of the machine's server: one that may run programs, and one without them."""


@dataclass(frozen=True, slots=True)
class File:
    """A file to be put in place.

    Attributes:
        path: where.
        data: what stands in it.
        is_configuration: whether an operator is meant to edit it.
    """

    path: Path
    data: bytes
    is_configuration: bool = False


def find_share() -> Traversable:
    """Find the files that belong to the server beside its code: in the package that was installed, or in the folder
    ``config/`` of the sources.

    Raises:
        ConfigError: they are not there.
    """
    package = files("rpcserver")
    share = package / "share"
    if share.is_dir():
        return share
    sources = Path(str(package)).parent / "config"
    if (sources / "systemd").is_dir():
        return sources
    raise ConfigError(f"{share}: it is missing: install the package remote-services again")


def list_files(
    share: Traversable, layout: Layout, *, program: str, systemd: int | None, services: tuple[str, ...] | None
) -> Iterator[File]:
    """List the files of an installation.

    Parameters:
        share: the files as they are shipped (:func:`find_share`).
        layout: where they go.
        program: the path of the command ``rpcserver``.
        systemd: the version of systemd; ``None`` if nobody knows.
        services: the units of the machine's server, of :data:`SERVICES`. The socket belongs to the first. ``None`` for
            a user's own server.
    """

    def read(*names: str) -> str:
        return share.joinpath(*names).read_text(encoding="utf-8")

    def add(folder: Path, name: str, text: str) -> File:
        return File(folder / name, text.encode())

    if services is None:
        unit = fit_unit(read("systemd", "rpcserver-user.service"), program, systemd)
        yield add(layout.units, "rpcserver.service", unit)
    else:
        for name in services:
            yield add(layout.units, name, fit_unit(read("systemd", name), program, systemd))
        yield add(layout.units, "rpcserver.socket", fit_socket(read("systemd", "rpcserver.socket"), services[0]))
    for folder, name, source in (
        (layout.sysusers, "rpcserver.conf", "rpcserver.sysusers.conf"),
        (layout.tmpfiles, "rpcserver.conf", "rpcserver.tmpfiles.conf"),
        (layout.catalog, "rpcserver.catalog", "rpcserver.catalog"),
    ):
        if folder is not None and share.joinpath("systemd", source).is_file():
            yield add(folder, name, read("systemd", source))
    configuration = read("installed-user.toml" if services is None else "installed.toml")
    yield File(layout.configuration / "rpcserver.toml", configuration.encode(), is_configuration=True)
    for page in sorted(entry.name for entry in share.joinpath("man").iterdir()):
        yield add(layout.manuals / f"man{page.rpartition('.')[2]}", page, read("man", page))
    for command in ("rpcclient", "rpcserver"):
        yield add(layout.bash, command, read("completion", f"{command}.bash"))
        yield add(layout.zsh, f"_{command}", read("completion", f"_{command}"))
        yield add(layout.fish, f"{command}.fish", read("completion", f"{command}.fish"))
