"""The commands ``rpcserver install`` and ``rpcserver uninstall``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from rpcserver.config import ConfigError
from rpcserver.installing.contents import SERVICES, find_share, list_files
from rpcserver.installing.layout import SYSTEM, Layout, user_layout
from rpcserver.installing.manifest import Manifest, read_manifest, write_manifest
from rpcserver.installing.placing import (
    Step,
    at,
    make_folders,
    make_manifest,
    perform,
    plan_installation,
    plan_removal,
    put,
    read_current,
    remove_empty,
)
from rpcserver.installing.units import read_version

_HIDDEN_FOLDERS = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - named, not used
"""What units with ``ProtectHome=`` and ``PrivateTmp=`` do not see."""

_scope_option = click.option(
    "--system/--user",
    "is_system",
    default=None,
    help="The machine's server, or this user's own; --system for root, else --user.",
)
_root_option = click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path("/"),
    help="Work below DIR, such as the root folder of an image; nothing is started or stopped then.",
    metavar="DIR",
)
_dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")


@click.command(short_help="Put units, configuration, manual pages and completion in place.")
@_scope_option
@click.option(
    "--strict", is_flag=True, help="The server without programs, in a hardened unit: rpcserver-strict.service."
)
@click.option(
    "--start", is_flag=True, help="Also make the user, and have systemd start the server now and at each boot."
)
@click.option("--replace", is_flag=True, help="Replace files that were edited, too; never the configuration.")
@_dry_run_option
@_root_option
@click.option("--program", metavar="PATH", help="Where the command rpcserver is; else the one that runs now.")
def install(
    is_system: bool | None,
    strict: bool,
    start: bool,
    replace: bool,
    dry_run: bool,
    root: Path,
    program: str | None,
) -> None:
    """Put the units of systemd, a configuration, the manual pages and the scripts for completion in place, and say each
    file. A file that somebody has edited, or that was there before, stays, and this is said.

    A line begins with what is done: create, update, replace, remove, keep (it is not as it would be installed), or
    leave (it is as it should be). `rpcserver uninstall` takes back what was installed.
    """
    try:
        _install(is_system, strict=strict, start=start, replace=replace, dry_run=dry_run, root=root, program=program)
    except ConfigError as exc:
        click.echo(f"rpcserver: {exc}", err=True)
        sys.exit(2)


def _install(
    is_system: bool | None, *, strict: bool, start: bool, replace: bool, dry_run: bool, root: Path, program: str | None
) -> None:
    is_system, layout = _choose(is_system, root, dry_run=dry_run)
    if strict and not is_system:
        raise ConfigError("--strict: it is for the machine's server: use --system")
    if start and (root != Path("/") or not _systemd_runs(is_system=is_system)):
        raise ConfigError("--start: systemd does not run here: leave it out, and start the server in another way")
    here = root == Path("/")
    command = program or str(_own_program())
    if not command.startswith("/"):
        raise ConfigError(f"--program: {command}: write the whole path")
    if is_system and here:
        _check_reach(Path(command), strict=strict)
    services = (SERVICES[1] if strict else SERVICES[0],) if is_system else None
    files = list(list_files(find_share(), layout, program=command, systemd=_ask_version(), services=services))
    old = read_manifest(at(root, layout.manifest)) or Manifest()
    steps = plan_installation(files, old, _read_all([*(f.path for f in files), *old.files], root), replace=replace)
    for step in steps:
        click.echo(_tell(step, root))
    service = services[0] if services else "rpcserver.service"
    commands = list(_activation(is_system=is_system, service=service, layout=layout))
    if not dry_run:
        _disable([step.path for step in steps if step.verb == "remove"], is_system=is_system, root=root)
        try:
            folders = perform(steps, root)
            folders += make_folders(root, layout.manifest.parent)
            at(root, layout.manifest.parent).chmod(0o700)
            put(at(root, layout.manifest), write_manifest(make_manifest(steps, old, folders)))
        except OSError as exc:
            raise ConfigError(f"{exc.filename2 or exc.filename}: {exc.strerror}") from exc
        if start:
            _run(commands)
            return
    if here and not start:
        click.echo("\nTo start the server now and at each boot (--start does it):")
    for words in commands if here and not start else ():
        click.echo("  " + " ".join(words))


@click.command(short_help="Take back what `rpcserver install` has put in place.")
@_scope_option
@click.option(
    "--purge/--keep-data",
    "purge",
    default=None,
    help="Remove data, configuration and the user rpcserver, too, or keep them; else it asks.",
)
@_dry_run_option
@_root_option
def uninstall(is_system: bool | None, purge: bool | None, dry_run: bool, root: Path) -> None:
    """Stop the server, and remove what `rpcserver install` has put in place, and nothing else. Files that were edited
    since stay, and are named. Data (tokens, databases, kept programs, the audit log) stay unless you say otherwise.
    """
    try:
        _uninstall(is_system, purge=purge, dry_run=dry_run, root=root)
    except ConfigError as exc:
        click.echo(f"rpcserver: {exc}", err=True)
        sys.exit(2)


def _uninstall(is_system: bool | None, *, purge: bool | None, dry_run: bool, root: Path) -> None:
    is_system, layout = _choose(is_system, root, dry_run=dry_run)
    manifest = read_manifest(at(root, layout.manifest))
    if manifest is None:
        place = at(root, layout.manifest)
        other = "--user" if is_system else "--system"
        raise ConfigError(f"`rpcserver install` has installed nothing here: {place} is missing; did you mean {other}?")
    here = root == Path("/")
    data = [path for path in (layout.state, layout.configuration) if at(root, path).exists()]
    steps = plan_removal(manifest, _read_all(manifest.files, root))
    if purge is None and not dry_run:
        question = f"Remove {' and '.join(str(at(root, path)) for path in data)} with all that is in them, too?"
        purge = sys.stdin.isatty() and bool(data) and click.confirm(question, default=False)
    if not dry_run:
        _disable(manifest.files, is_system=is_system, root=root, now=True)
    for step in steps:
        click.echo(_tell(step, root))
    if not dry_run:
        try:
            perform(steps, root)
            at(root, layout.manifest).unlink()
            if purge:
                for path in data:
                    shutil.rmtree(at(root, path))
        except OSError as exc:
            raise ConfigError(f"{exc.filename}: {exc.strerror}") from exc
        for folder in remove_empty([*manifest.folders, layout.manifest.parent], root):
            click.echo(f"remove  {at(root, folder)} (it is empty)")
    for path in data:
        if purge or dry_run or at(root, path).exists():
            click.echo(f"{'remove' if purge else 'keep':8}{at(root, path)} (data)")
    if dry_run:
        return
    if here and _systemd_runs(is_system=is_system):
        _run([[*_systemctl(is_system=is_system), "daemon-reload"]])
        if layout.catalog is not None:
            _run([["journalctl", "--update-catalog"]])
    if purge and here and is_system and shutil.which("userdel"):
        _run([["userdel", "rpcserver"]])


def _choose(is_system: bool | None, root: Path, *, dry_run: bool) -> tuple[bool, Layout]:
    """Decide whose server it is, and where its files go."""
    is_root = os.geteuid() == 0
    if is_system is None:
        is_system = is_root
    if is_system and not is_root and root == Path("/") and not dry_run:
        raise ConfigError("--system: only root can do this: use sudo, or --user for a server of your own")
    return is_system, SYSTEM if is_system else user_layout()


def _own_program() -> Path:
    """The command that runs now."""
    for path in (Path(sys.argv[0]).absolute(), Path(sys.executable).with_name("rpcserver")):
        if path.name == "rpcserver" and os.access(path, os.X_OK):
            return path
    raise ConfigError("the command rpcserver is not found: name it by --program PATH")


def _check_reach(program: Path, *, strict: bool) -> None:
    """Refuse a program that the machine's server could not run.

    Raises:
        ConfigError: it is missing, or only some users can reach it.
    """
    if strict and str(program).startswith(tuple(f"{folder}/" for folder in _HIDDEN_FOLDERS)):
        raise ConfigError(f"{program}: the strict unit does not see this folder: install into /opt/rpcserver, say")
    try:
        for folder in (*reversed(program.resolve().parents), program.resolve()):
            if not folder.stat().st_mode & 0o001:
                raise ConfigError(
                    f"{program}: the user rpcserver cannot reach {folder}: install into /opt/rpcserver, say, or chmod"
                )
    except OSError as exc:
        raise ConfigError(f"--program: {exc.filename}: {exc.strerror}") from exc


def _ask_version() -> int | None:
    """The version of this machine's systemd; ``None`` without systemd."""
    try:
        done = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return read_version(done.stdout)


def _systemctl(*, is_system: bool) -> list[str]:
    return ["systemctl"] if is_system else ["systemctl", "--user"]


def _systemd_runs(*, is_system: bool) -> bool:
    """Whether systemd runs here (sd_booted(3)), and for users also a manager of this one."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    return Path("/run/systemd/system" if is_system else f"{runtime or '/nonexistent'}/systemd").is_dir()


def _disable(files: Iterable[Path], *, is_system: bool, root: Path, now: bool = False) -> None:
    """Take back `systemctl enable` for those files that are units, before they go: its links would stay.

    Parameters:
        files: which files.
        is_system: whether it is the machine's server.
        root: below which folder they lie. In another than ``/`` nothing runs.
        now: whether to stop the units, too.

    Raises:
        ConfigError: systemctl fails.
    """
    units = [path.name for path in files if path.suffix in (".service", ".socket") and at(root, path).is_file()]
    if not units:
        return
    if root == Path("/"):
        if _systemd_runs(is_system=is_system):
            _run([[*_systemctl(is_system=is_system), "disable", *(["--now"] if now else []), *units]])
    elif is_system and shutil.which("systemctl") is not None:
        _run([["systemctl", f"--root={root}", "disable", *units]])


def _activation(*, is_system: bool, service: str, layout: Layout) -> Iterable[list[str]]:
    """The commands that start what was installed."""
    if layout.sysusers is not None:
        yield ["systemd-sysusers", str(layout.sysusers / "rpcserver.conf")]
    if layout.tmpfiles is not None:
        yield ["systemd-tmpfiles", "--create", str(layout.tmpfiles / "rpcserver.conf")]
    if layout.catalog is not None:
        yield ["journalctl", "--update-catalog"]
    yield [*_systemctl(is_system=is_system), "daemon-reload"]
    yield [*_systemctl(is_system=is_system), "enable", "--now", service]


def _run(commands: Iterable[Sequence[str]]) -> None:
    """Run commands, and say each.

    Raises:
        ConfigError: one fails.
    """
    for words in commands:
        click.echo("run     " + " ".join(words))
        try:
            done = subprocess.run(words, check=False)
        except OSError as exc:
            raise ConfigError(f"{words[0]}: {exc.strerror}") from exc
        if done.returncode:
            raise ConfigError(f"{' '.join(words)}: it failed with status {done.returncode}")


def _read_all(paths: Iterable[Path], root: Path) -> dict[Path, bytes | None]:
    """What stands in files of the machine now.

    Raises:
        ConfigError: one cannot be read.
    """
    current = {}
    for path in paths:
        try:
            current[path] = read_current(at(root, path))
        except OSError as exc:
            raise ConfigError(f"{at(root, path)}: {exc.strerror}") from exc
    return current


def _tell(step: Step, root: Path) -> str:
    """The line about a step."""
    return f"{step.verb:8}{at(root, step.path)}" + (f" ({step.reason})" if step.reason else "")
