"""Where the files of an installation go: pure tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from platformdirs import PlatformDirs

from rpcwire import locations


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of an installation.

    Attributes:
        units: units of systemd.
        sysusers: accounts (sysusers.d(5)); ``None`` for a user's own installation, and likewise below.
        tmpfiles: folders that must exist (tmpfiles.d(5)).
        catalog: explanations of messages in the journal.
        configuration: the configuration.
        manuals: manual pages, in a folder for each section.
        bash, zsh, fish: scripts for completion.
        state: what the server keeps.
        manifest: the file that says what was installed. Only who installs may write to its folder: a server that was
            taken over could otherwise have root remove files.
    """

    units: Path
    sysusers: Path | None
    tmpfiles: Path | None
    catalog: Path | None
    configuration: Path
    manuals: Path
    bash: Path
    zsh: Path
    fish: Path
    state: Path
    manifest: Path


SYSTEM = Layout(
    units=Path("/etc/systemd/system"),
    sysusers=Path("/etc/sysusers.d"),
    tmpfiles=Path("/etc/tmpfiles.d"),
    catalog=Path("/usr/local/lib/systemd/catalog"),
    configuration=Path("/etc/rpcserver"),
    manuals=Path("/usr/local/share/man"),
    bash=Path("/usr/local/share/bash-completion/completions"),
    zsh=Path("/usr/local/share/zsh/site-functions"),
    fish=Path("/usr/local/share/fish/vendor_completions.d"),
    state=Path("/var/lib/rpcserver"),
    manifest=Path("/var/lib/rpcserver-install/manifest.json"),
)
"""The machine's server, as an operator installs it: below /etc and /usr/local, which packages leave alone."""

PACKAGE = replace(
    SYSTEM,
    units=Path("/lib/systemd/system"),
    sysusers=Path("/usr/lib/sysusers.d"),
    tmpfiles=Path("/usr/lib/tmpfiles.d"),
    catalog=Path("/usr/lib/systemd/catalog"),
    manuals=Path("/usr/share/man"),
    bash=Path("/usr/share/bash-completion/completions"),
    zsh=Path("/usr/share/zsh/vendor-completions"),
    fish=Path("/usr/share/fish/vendor_completions.d"),
)
"""The machine's server in a Debian package."""


def user_layout() -> Layout:
    """A user's own server, by the XDG Base Directory Specification."""
    dirs = PlatformDirs("rpcserver", appauthor=False)
    data, configuration = dirs.user_data_path.parent, dirs.user_config_path
    return Layout(
        units=configuration.parent / "systemd" / "user",
        sysusers=None,
        tmpfiles=None,
        catalog=None,
        configuration=configuration,
        manuals=data / "man",
        bash=data / "bash-completion" / "completions",
        zsh=data / "zsh" / "site-functions",
        fish=data / "fish" / "vendor_completions.d",
        state=locations.state_dir(),
        manifest=dirs.user_state_path / "install" / "manifest.json",
    )
