"""File systems as df(1) lists them: of containers, in memory, of FUSE, mounted twice, over each other, and hung ones.

The mounts are real ones, in mount namespaces of their own; what cannot be mounted everywhere (btrfs, NFS, autofs, 9p,
virtiofs) is a table as proc_pid_mountinfo(5) has it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from rpcservices.hardware.readers import disks
from rpcservices.hardware.readers.mounts import WITHOUT_ROOM, Mount, MountTable, mounts, mounts_known, parse

from .mounting import LOOK, scene

Missing = Callable[[str], NoReturn]
FIGURES = ("total_bytes", "used_bytes", "free_bytes", "percent", "inodes_total", "inodes_free")


def filesystems(line: str, which: str = "first") -> dict[str, dict[str, Any]]:
    """Those of an answer, by where they are mounted."""
    listed = json.loads(line)[which]["disks"]["filesystems"]
    found = {each["mountpoint"]: each for each in listed}
    assert len(found) == len(listed), "one place, one file system"
    return found


DF = 'df "$@" --block-size=1 --output=target,size,used,avail,itotal,iavail'


def df(lines: list[str]) -> dict[str, list[str]]:
    """What df says, by place; of what is mounted over something else it has two lines."""
    found: dict[str, list[str]] = {}
    for line in lines[1:]:
        *place, size, used, free, inodes, inodes_free = line.split()
        found[" ".join(place)] = [size, used, free, inodes, inodes_free]
    return found


def test_what_df_shows(missing: Missing, tmp_path: Path) -> None:
    script = f"""
        cd "$1"
        mkdir one part whole nothing; touch file
        mount -t tmpfs -o size=1m one one
        mkdir "one/with space" one/sub
        mount -t tmpfs -o size=2m,nr_inodes=77 two "one/with space"
        mount --bind one/sub part
        mount --bind one whole
        mount -t tmpfs -o size=3m covered one/sub
        mkdir one/sub/deep
        mount -t tmpfs -o size=4m unreachable one/sub/deep
        mount -t tmpfs -o size=5m top one/sub
        mount -t tmpfs -o size=0 unlimited nothing
        mount --bind /etc/hostname file
        "$PYTHON" "$2" disks
        df() {{ command {DF}; }}
        df; echo; df -a
        echo; findmnt --json --list --output TARGET,FSROOT,FSTYPE,OPTIONS
    """
    answer, *rest = scene(missing, script, tmp_path, LOOK)
    found = filesystems(answer)
    gap = rest.index("")
    shown, everything = df(rest[:gap]), df(rest[gap + 1 : rest.index("", gap + 1)])
    # df has one line for a file system that is mounted twice, and -a one for each mount.
    assert {place for place, each in found.items() if not each["same_as"]} == set(shown)
    assert set(found) == {place for place, figures in everything.items() if figures[0] not in ("0", "-")}
    for place, each in found.items():
        size, used, free, inodes, inodes_free = everything[place]
        assert str(each["total_bytes"]) == size
        if place.startswith(str(tmp_path)) and each["fstype"] == "tmpfs":  # Elsewhere others write meanwhile.
            figures = [each[name] for name in ("used_bytes", "free_bytes", "inodes_total", "inodes_free")]
            assert figures == [int(figure) for figure in (used, free, inodes, inodes_free)]
    for each in json.loads("\n".join(rest[rest.index("", gap + 1) + 1 :]))["filesystems"]:
        place = each["target"]
        if place in found and place != f"{tmp_path}/one/sub":  # Of this one findmnt has both.
            assert (found[place]["root"], found[place]["fstype"]) == (each["fsroot"], each["fstype"])
            assert set(found[place]["opts"].split(",")) == set(each["options"].split(","))
    one = str(tmp_path / "one")
    marks = {place.removeprefix(f"{tmp_path}/"): (each["bind"], each["same_as"]) for place, each in found.items()}
    assert [marks[name] for name in ("one", "one/with space", "one/sub")] == [(False, "")] * 3
    assert [marks[name] for name in ("part", "whole")] == [(True, one)] * 2
    assert marks["file"] == (True, "/")
    assert found[f"{one}/sub"]["device"] == "top"
    assert found[f"{one}/with space"]["inodes_total"] == 77
    name = f"disks.filesystems.percent{{{one}/with space}}"
    assert json.loads(answer)["sample"]["values"][name] == 0.0


def test_the_root_of_a_container(missing: Missing, tmp_path: Path) -> None:
    """An overlay, with what a container's engine mounts in it; and no device in sight."""
    script = """
        cd "$1"
        mkdir store root; mount -t tmpfs -o size=300m store store; mkdir store/up store/work
        mount -t overlay -o "lowerdir=/,upperdir=$1/store/up,workdir=$1/store/work" container root
        mount -t proc proc root/proc
        mount --rbind /dev root/dev
        mount --rbind /sys root/sys
        mount -t tmpfs -o size=1m volume root/mnt
        mount --bind /etc/hostname root/etc/hosts
        chroot root "$PYTHON" "$2" disks
        chroot root df --output=target
    """
    answer, *shown = scene(missing, script, tmp_path, LOOK)
    found = filesystems(answer)
    assert (found["/"]["fstype"], found["/"]["device"], found["/"]["bind"]) == ("overlay", "container", False)
    assert found["/"]["total_bytes"] == 300 * 2**20
    assert found["/mnt"]["total_bytes"] == 2**20
    # Of the host's disk there is nothing else to be seen: then this stands for it, as with df.
    assert (found["/etc/hosts"]["bind"], found["/etc/hosts"]["same_as"]) == (True, "")
    assert {place for place, each in found.items() if not each["same_as"]} == set(shown[1:])


def test_a_file_system_of_a_program(missing: Missing, tmp_path: Path) -> None:
    (answer,) = scene(missing, '"$PYTHON" "$2" --fuse "$1" disks', tmp_path, LOOK)
    each = filesystems(answer)[str(tmp_path)]
    assert (each["fstype"], each["device"]) == ("fuse.rpctest", "tests")
    used = 600 * 4096
    assert [each[name] for name in FIGURES] == [1000 * 4096, used, 300 * 4096, round(100 * 600 / 900, 1), 50, 40]


def test_a_file_system_that_never_answers(missing: Missing, tmp_path: Path) -> None:
    """It is listed, with the reason; nothing else has to wait for it, not even what is mounted in a folder of another
    one beside it; and what is mounted below it is as hard to ask."""
    other = tmp_path / "other"
    script = """
        mkdir "$1/hung" "$1/other"
        mount -t tmpfs -o size=1m other "$1/other"
        "$PYTHON" "$2" --limit 2 --hung "$1/hung" --fuse "$1/other" cpu disks
    """
    (answer,) = scene(missing, script, tmp_path, LOOK)
    for which in ("first", "second"):
        found = filesystems(answer, which)
        hung = found[str(tmp_path / "hung")]
        assert [hung[name] for name in FIGURES] == [None] * 6
        assert hung["reasons"] == dict.fromkeys(FIGURES, "failed: no answer within 1 s")
        assert (hung["fstype"], hung["same_as"], hung["bind"]) == ("fuse.rpctest", "", False)
        assert found[str(other)]["total_bytes"] == 1000 * 4096
        assert found["/"]["total_bytes"]
        assert json.loads(answer)[which]["cpu"]["cores"]
    sample = json.loads(answer)["sample"]
    name = f"disks.filesystems.percent{{{tmp_path}/hung}}"
    assert (sample["values"][name], sample["reasons"][name]) == (None, "failed: no answer within 1 s")


def test_where_the_server_may_not_look(missing: Missing, tmp_path: Path) -> None:
    """A FUSE file system is its owner's alone."""
    script = """
        chmod 755 "$1" "$(dirname "$1")" "$(dirname "$(dirname "$1")")"
        mkdir "$1/theirs"
        exec "$PYTHON" - "$1/theirs" <<'END'
import json, os, sys
from pathlib import Path
sys.path[:0] = ROOTS
from tests.services.hardware.mounting import fuse
from rpcservices.hardware.readers import disks
def missing(reason): sys.exit(f"missing: {reason}")
with fuse(Path(sys.argv[1]), missing):
    child = os.fork()
    if child == 0:
        os.setgid(65534)
        os.setuid(65534)
        print(json.dumps({"first": {"disks": disks.derive(None, disks.read(), None).model_dump()}}), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
END
    """
    roots = [str(LOOK.parents[3]), str(LOOK.parents[3] / "services")]
    (answer,) = scene(missing, script.replace("ROOTS", repr(roots)), tmp_path)
    each = filesystems(answer)[str(tmp_path / "theirs")]
    assert each["reasons"]["percent"] == "denied: the server's user may not read it"


def test_a_mount_that_comes_and_goes(missing: Missing, tmp_path: Path) -> None:
    def mounted() -> set[str]:
        return {mount.mountpoint for mount in mounts()}

    before = mounted()
    said = subprocess.run(["findmnt", "--list", "--noheadings", "--output", "TARGET"], capture_output=True, text=True)
    assert before <= set(said.stdout.splitlines())
    assert "/" in before
    if subprocess.run(["mount", "-t", "tmpfs", "x", tmp_path], capture_output=True).returncode:
        missing("this user may not mount anything")
    try:
        assert str(tmp_path) in mounted()
    finally:
        subprocess.run(["umount", tmp_path], check=True)
    assert str(tmp_path) not in mounted()


# Tables of other machines.


def of(table: str, on_devices: str = "ext4 vfat squashfs fuseblk xfs") -> dict[str, Mount]:
    found = parse(table.encode("utf-8", "surrogateescape"), frozenset(on_devices.split()))
    assert len({mount.mountpoint for mount in found}) == len(found)
    return {mount.mountpoint: mount for mount in found}


def test_names_are_unescaped() -> None:
    (mount,) = of(r"40 1 0:39 /a\040b\011c /mnt/x\012y\134z\043w rw - tmpfs my\040disk rw,size=1k").values()
    assert (mount.root, mount.mountpoint, mount.device) == ("/a b\tc", "/mnt/x\ny\\z#w", "my disk")
    assert (mount.opts, mount.bind) == ("rw,size=1k", True)
    (odd,) = of("40 1 0:39 / /mnt\udce9 ro,nosuid shared:1 master:2 - tmpfs x rw").values()
    assert (odd.mountpoint, odd.opts) == ("/mnt\udce9", "ro,nosuid")


def test_subvolumes_are_no_bind_mounts() -> None:
    """As on Fedora, openSUSE and Ubuntu with btrfs; a folder of a subvolume is one."""
    found = of("""\
25 1 0:24 /@ / rw,relatime shared:1 - btrfs /dev/sda2 rw,ssd,subvolid=256,subvol=/@
40 25 0:24 /@home /home rw,relatime shared:2 - btrfs /dev/sda2 rw,ssd,subvolid=257,subvol=/@home
41 25 0:24 /@/var/x /srv rw,relatime shared:3 - btrfs /dev/sda2 rw,ssd,subvolid=256,subvol=/@
""")
    assert {m: (each.bind, each.same_as) for m, each in found.items()} == {
        "/": (False, ""), "/home": (False, "/"), "/srv": (True, "/"),
    }  # fmt: skip
    assert not any(each.is_served for each in found.values())


def test_what_may_not_answer_is_asked_apart() -> None:
    found = of("""\
25 1 8:1 / / rw - ext4 /dev/sda1 rw
26 25 0:30 / /nfs rw - nfs4 nas:/export rw,hard
27 26 0:31 / /nfs/below rw - tmpfs tmpfs rw
28 25 0:32 / /nfsx rw - tmpfs tmpfs rw
29 25 0:33 / /smb rw - cifs //nas/share rw
30 25 0:34 / /nine rw - 9p hostshare rw,trans=virtio
31 25 0:35 / /vio rw - virtiofs myfs rw
32 25 0:36 / /sshfs rw - fuse.sshfs ada@box: rw
33 25 8:17 / /ntfs rw - fuseblk /dev/sdb1 rw
34 25 0:37 / /new rw - somethingnew x rw
35 25 0:38 / /pool rw - zfs pool/data rw
36 25 7:1 / /snap ro - squashfs /dev/loop1 ro
37 25 0:39 / /auto rw - autofs systemd-1 rw,fd=30,pgrp=1,timeout=0
38 37 0:40 / /auto/disk rw - nfs nas:/disk rw
""")
    served = {"/nfs", "/nfs/below", "/smb", "/nine", "/vio", "/sshfs", "/ntfs", "/new", "/auto/disk"}
    assert {place for place, mount in found.items() if mount.is_served} == served
    assert set(found) == served | {"/", "/nfsx", "/pool", "/snap"}  # To ask autofs would have it mount something.


def test_what_is_covered_is_not_shown() -> None:
    found = of("""\
25 1 8:1 / / rw - ext4 /dev/sda1 rw
26 25 0:30 / /a rw - tmpfs first rw
27 26 0:31 / /a/b rw - tmpfs within rw
28 26 0:32 / /a rw - tmpfs second rw
29 28 0:33 / /a rw - tmpfs third rw
30 29 0:34 / /a/b rw - tmpfs last rw
31 25 0:35 / /x/y rw - tmpfs old rw
32 25 0:36 / /x rw - tmpfs new rw
""")
    assert {place: mount.device for place, mount in found.items()} == {
        "/": "/dev/sda1", "/a": "third", "/a/b": "last", "/x": "new",
    }  # fmt: skip


@pytest.mark.parametrize(
    "table", ["", "rubbish\n1 2 3\n", "1 1 0:1 / / rw - tmpfs x rw", "1 2 0:1 / /a rw - t x r\n2 1 0:2 / /b rw - t x r"]
)
def test_odd_tables(table: str) -> None:
    of(table)


def test_a_thousand_mounts_are_read_quickly_enough() -> None:
    """Each is looked at once, and not with all others: as on a node with many containers."""
    lines = ["25 1 8:1 / / rw - ext4 /dev/sda1 rw"]
    lines += [f"{n} 25 0:{n} / /var/lib/pods/{n}/volume rw - tmpfs tmpfs rw" for n in range(100, 3100)]
    lines += ["99 25 0:99 / /mnt rw - nfs nas:/ rw"]
    assert len(of("\n".join(lines))) == 3002


def test_df_is_here() -> None:
    """What the others compare with."""
    assert shutil.which("df")
    assert shutil.which("findmnt")


def test_what_never_has_a_size_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two dozen control groups and the like are mounted on most machines."""
    asked: list[str] = []
    statvfs = os.statvfs

    def noted(path: str) -> os.statvfs_result:
        asked.append(path)
        return statvfs("/")

    monkeypatch.setattr(disks.os, "statvfs", noted)
    kinds = sorted(WITHOUT_ROOM)
    lines = [f"{n} 1 0:{n} / /{kind} rw - {kind} {kind} rw" for n, kind in enumerate([*kinds, "tmpfs", "ext4"], 30)]
    found = disks._filesystems(parse("\n".join(lines).encode()), None)
    assert asked == ["/tmpfs", "/ext4"]
    assert [each.mountpoint for each in found] == ["/tmpfs", "/ext4"]


def test_nothing_here_without_room_has_any() -> None:
    for mount in mounts():
        if mount.fstype in WITHOUT_ROOM and os.access(mount.mountpoint, os.X_OK):
            assert os.statvfs(mount.mountpoint).f_blocks == 0, mount


class Table(MountTable[int]):
    """The kernel's reports of changes come from the test; each is told once."""

    def __init__(self, make: Callable[[bytes], int]) -> None:
        super().__init__(make)
        self.reports = 0

    def _has_changed(self) -> bool:
        reports, self.reports = self.reports, 0
        return bool(reports)


def test_a_change_while_the_table_is_read_is_not_lost() -> None:
    """The event loop and a thread look at the same table; whoever sees the report first keeps it for both."""
    made, seen = [0], list[int | None]()

    def make(_: bytes) -> int:
        made[0] += 1
        if made[0] == 2:  # Another change comes while this thread reads, and the loop looks.
            table.reports += 1
            seen.append(table.known())
        return made[0]

    table = Table(make)
    assert table.known() is None
    assert table.now() == 1 == table.known()
    table.reports += 1
    assert table.known() is None
    assert table.now() == 2
    assert seen == [None]
    assert table.known() is None
    assert table.now() == 3 == table.known() == table.now()


@pytest.mark.parametrize("odd", ["nfs4", "btrfs", "fuse.sshfs", "autofs"])
def test_what_may_have_to_wait_is_not_read_at_once(odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = "21 1 8:1 / / rw - ext4 /dev/vda rw\n22 21 0:5 / /dev/shm rw - tmpfs tmpfs rw\n"
    kinds = frozenset({"ext4"})
    monkeypatch.setattr(disks, "mounts_known", lambda: parse(table.encode(), kinds))
    at_once = disks.read_at_once()
    assert at_once is not None
    assert [each.fstype for each in at_once.filesystems][:1] == ["ext4"]
    odd_table = f"{table}23 21 0:6 / /mnt/odd rw - {odd} odd rw\n"
    monkeypatch.setattr(disks, "mounts_known", lambda: parse(odd_table.encode(), kinds))
    assert (disks.read_at_once() is None) == (odd != "autofs")  # Automatic mounts are left out, and so never asked.
    monkeypatch.setattr(disks, "mounts_known", lambda: None)
    assert disks.read_at_once() is None


def test_two_threads_look_at_the_table_at_the_same_time() -> None:
    """Python refuses to use one poll object in two threads at once."""
    mounts()
    failures: list[BaseException] = []

    def look(function: Callable[[], object]) -> None:
        try:
            for _ in range(3000):
                function()
        except BaseException as exc:
            failures.append(exc)

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=look, args=[function]) for function in (mounts, mounts_known)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(interval_s)
    assert failures == []
