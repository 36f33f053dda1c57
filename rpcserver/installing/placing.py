"""Puts files in place, and takes them back. A file that somebody has edited is never touched without a word."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .contents import File
from .manifest import Manifest, digest


@dataclass(frozen=True, slots=True)
class Step:
    """What is done with a file or a folder.

    Attributes:
        path: which one.
        verb: ``create``, ``update``, ``replace``, ``remove``, ``keep``, or ``leave`` if it is as it should be.
        reason: why it is kept, replaced or removed.
        file: what is put in place.
    """

    path: Path
    verb: str
    reason: str = ""
    file: File | None = field(default=None, repr=False)


def read_current(path: Path) -> bytes | None:
    """What stands at a path; ``None`` if nothing does. Of links, folders and the like it is a text that no file has."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISLNK(mode):
        return b"\0link to " + os.fsencode(path.readlink())
    return path.read_bytes() if stat.S_ISREG(mode) else b"\0no file"


def plan_installation(
    files: Iterable[File], old: Manifest, current: Mapping[Path, bytes | None], *, replace: bool
) -> list[Step]:
    """Decide what to do with each file.

    Parameters:
        files: what is to be in place.
        old: what an earlier installation has put in place. Of it, what is not needed any more is removed.
        current: what stands at each of these paths now.
        replace: whether files that were edited are replaced, too. The configuration is an operator's own: it never is.
    """
    steps = []
    new_files = {}
    for file in files:
        new_files[file.path] = file
        data, old_digest = current[file.path], old.files.get(file.path)
        if data is None:
            steps.append(Step(file.path, "create", file=file))
        elif data == file.data:
            steps.append(Step(file.path, "leave", file=file))
        elif old_digest == digest(data):
            steps.append(Step(file.path, "update", file=file))
        else:
            reason = "it was edited" if old_digest else "it was there before"
            if replace and not file.is_configuration:
                steps.append(Step(file.path, "replace", reason, file))
            else:
                steps.append(Step(file.path, "keep", reason))
    return steps + [step for step in plan_removal(old, current) if step.path not in new_files]


def plan_removal(old: Manifest, current: Mapping[Path, bytes | None]) -> list[Step]:
    """Decide what to do with each file that an installation has put in place.

    Parameters:
        old: the installation.
        current: what stands at each path now.
    """
    steps = []
    for path, old_digest in old.files.items():
        data = current[path]
        if data is not None:
            is_ours = digest(data) == old_digest
            steps.append(Step(path, "remove") if is_ours else Step(path, "keep", "it was edited"))
    return steps


def make_manifest(steps: Iterable[Step], old: Manifest, folders: Sequence[Path]) -> Manifest:
    """The manifest after an installation.

    Parameters:
        steps: what was done.
        old: the manifest before.
        folders: the folders that were made.
    """
    files = {}
    for step in steps:
        if step.file is not None:
            files[step.path] = digest(step.file.data)
        elif step.verb == "keep" and step.path in old.files:
            files[step.path] = old.files[step.path]
    return Manifest(files, (*old.folders, *(folder for folder in folders if folder not in old.folders)))


def make_folders(root: Path, path: Path) -> Iterator[Path]:
    """Make a folder and those above it, and yield each that was missing.

    Parameters:
        root: the root folder of the machine.
        path: the folder, as a path of the machine.
    """
    missing = [folder for folder in (path, *path.parents) if not at(root, folder).exists()]
    for folder in reversed(missing):
        at(root, folder).mkdir()
        at(root, folder).chmod(0o755)  # Whatever the umask of the operator's shell is: the server's user must read it.
        yield folder


def put(path: Path, data: bytes) -> None:
    """Put a file in place at once: nobody sees half of it. Everybody may read it. A symbolic link at this place is
    replaced, not followed."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(descriptor, 0o644)
            os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise


def at(root: Path, path: Path) -> Path:
    """Where a path of the machine lies below another root folder, such as that of an image."""
    return root / path.relative_to(path.anchor)


def perform(steps: Iterable[Step], root: Path) -> list[Path]:
    """Do what was decided.

    Parameters:
        steps: what to do.
        root: the root folder of the machine: ``/``, or that of an image.

    Returns:
        The folders that were made, each before those in it.

    Raises:
        OSError: a file cannot be put in place or removed.
    """
    folders: list[Path] = []
    for step in steps:
        place = at(root, step.path)
        if step.verb in ("create", "update", "replace") and step.file is not None:
            folders += make_folders(root, step.path.parent)
            put(place, step.file.data)
        elif step.verb == "remove":
            place.unlink(missing_ok=True)
    return folders


def remove_empty(folders: Iterable[Path], root: Path) -> Iterator[Path]:
    """Remove folders of the machine that are empty, those inside first, and yield each."""
    for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
        try:
            at(root, folder).rmdir()
        except OSError:
            continue  # Something else is in it, or it is gone already.
        yield folder
