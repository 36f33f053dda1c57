"""Mounts for tests: in a mount namespace of their own, and FUSE file systems of which a test is the server."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

LOOK = Path(__file__).parent / "look.py"
LIBC = ctypes.CDLL(None, use_errno=True)
FORCE, DETACH = 1, 2
"""Flags of umount2(2). The first has the kernel answer everybody who waits for a FUSE file system."""


def mount(source: str, target: Path, fstype: str, data: str = "") -> None:
    """mount(2).

    Raises:
        OSError: it is not to be.
    """
    words = (source, os.fsencode(target), fstype, data)
    encoded = [word if isinstance(word, bytes) else word.encode() for word in words]
    if LIBC.mount(encoded[0], encoded[1], encoded[2], 0, encoded[3]):
        raise OSError(ctypes.get_errno(), f"mount: {os.strerror(ctypes.get_errno())}")


class Fuse:
    """A FUSE file system (include/uapi/linux/fuse.h) of which this process is the server: it has figures, and no files.

    Parameters:
        place: where it is mounted.
        blocks: its size, in blocks of 4096 bytes.

    Attributes:
        silent: it takes what it is asked, and gives no answer.
    """

    INIT, STATFS, GETATTR, INTERRUPT, FORGET, DESTROY = 26, 17, 3, 36, 2, 38
    NOT_IMPLEMENTED = -38

    def __init__(self, place: Path, blocks: int = 1000, *, silent: bool = False) -> None:
        self.place, self.blocks, self.silent = place, blocks, silent
        self.asked = threading.Event()
        self._device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self._device},rootmode=40000,user_id=0,group_id=0"
        try:
            mount("tests", place, "fuse.rpctest", options)
        except OSError:
            os.close(self._device)
            raise
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                request = os.read(self._device, 1 << 17)
            except OSError:
                return  # It is unmounted, or given up.
            _, code, unique, node = struct.unpack_from("<IIQQ", request)
            if code == self.STATFS:
                self.asked.set()
            if (self.silent and code != self.INIT) or code in (self.FORGET, self.INTERRUPT):
                continue
            error, body = self._answer(code, node)
            with contextlib.suppress(OSError):  # Whoever asked waits no more.
                os.write(self._device, struct.pack("<IiQ", 16 + len(body), error, unique) + body)

    def _answer(self, code: int, node: int) -> tuple[int, bytes]:
        if code == self.INIT:  # Version 7.31, with the smallest numbers of everything.
            return 0, struct.pack("<IIIIHHIIHHI28x", 7, 31, 0, 0, 12, 9, 4096, 1, 1, 0, 0)
        if code == self.STATFS:
            return 0, struct.pack("<QQQQQIIII24x", self.blocks, 400, 300, 50, 40, 4096, 255, 4096, 0)
        if code == self.GETATTR:
            folder = struct.pack("<QQQQQQIIIIIIIIII", node, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 2, 0, 0, 0, 4096, 0)
            return 0, struct.pack("<QII", 0, 0, 0) + folder
        return self.NOT_IMPLEMENTED, b""

    def close(self) -> None:
        """Unmount it, and let everybody go who waits for an answer."""
        for flag in (FORCE, DETACH):
            LIBC.umount2(os.fsencode(self.place), flag)
        self._thread.join(20)
        os.close(self._device)


@contextlib.contextmanager
def fuse(place: Path, missing: object, **options: object) -> Iterator[Fuse]:
    """A FUSE file system at a place."""
    try:
        served = Fuse(place, **options)  # type: ignore[arg-type]
    except OSError as exc:
        report(missing, f"no FUSE file system can be mounted here: {exc}")
    try:
        yield served
    finally:
        served.close()


def report(missing: object, reason: str) -> NoReturn:
    assert callable(missing)
    missing(reason)
    raise AssertionError("it raises")


def elsewhere(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a shell's script in a mount namespace of its own, of which nothing is seen outside. ``$PYTHON`` is this one.
    What is mounted there goes with it."""
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "bash", "-euc", script, "bash", *words],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHON": sys.executable, "LC_ALL": "C.UTF-8"},
    )


def scene(missing: object, script: str, *words: str | Path) -> list[str]:
    """The lines that a script writes in a mount namespace of its own."""
    done = elsewhere(script, *map(str, words))
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or [""]
        if "missing: " in said[0] or "unshare" in said[0] or "not permitted" in said[0]:
            report(missing, f"no mount namespace, or nothing in it, can be had here: {said[0]}")
        pytest.fail(done.stderr)
    return done.stdout.splitlines()
