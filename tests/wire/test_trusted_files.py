"""Files are trusted only if nobody else could have changed them, or can read the secret in them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rpcwire import trusted_files
from rpcwire.trusted_files import (
    UntrustedFile,
    check_file,
    check_folder,
    check_program,
    make_folder,
    open_file,
    read_file,
)

SOMEBODY = 54321
"""A user who is neither root nor the one who runs the tests."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with the folder ``inner``, which has the file ``file``."""
    (tmp_path / "inner").mkdir(mode=0o755)
    file = tmp_path / "inner" / "file"
    file.write_text("content")
    file.chmod(0o644)
    return tmp_path


def owned_by(uid: int, path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(path, uid, -1, follow_symlinks=False)


def link(home: Path, target: str = "file") -> Path:
    (home / "inner" / "link").symlink_to(target)
    return home / "inner" / "link"


def foreign_link(home: Path) -> Path:
    owned_by(SOMEBODY, link(home))
    return home / "inner" / "link"


def link_through_open_folder(home: Path) -> Path:
    (home / "open").mkdir()
    (home / "open" / "link").symlink_to(home / "inner" / "file")
    (home / "open").chmod(0o777)
    return home / "open" / "link"


def link_to_open_folder(home: Path) -> Path:
    (home / "open").mkdir()
    (home / "open" / "file").touch()
    (home / "open").chmod(0o777)
    return link(home, "../open/file")


def with_mode(name: str, mode: int) -> Callable[[Path], Path]:
    def prepare(home: Path) -> Path:
        (home / name).chmod(mode)
        return home / "inner" / "file"

    return prepare


def with_owner(name: str, uid: int = SOMEBODY) -> Callable[[Path], Path]:
    def prepare(home: Path) -> Path:
        owned_by(uid, home / name)
        return home / "inner" / "file"

    return prepare


def with_sticky(owner: int) -> Callable[[Path], Path]:
    def prepare(home: Path) -> Path:
        (home / "inner").chmod(0o1777)
        owned_by(owner, home / "inner" / "file")
        return home / "inner" / "file"

    return prepare


def fifo(home: Path) -> Path:
    os.mkfifo(home / "inner" / "fifo", 0o600)
    return home / "inner" / "fifo"


def hidden_by_dots(home: Path) -> Path:
    with_mode("inner", 0o777)(home)
    return home / "inner" / ".." / "inner" / "." / "file"


def relative(home: Path) -> Path:
    os.chdir(home)
    return Path("inner/file")


GOOD: dict[str, Callable[[Path], Path]] = {
    "a file": with_mode("inner/file", 0o644),
    "a private folder": with_mode("inner", 0o700),
    "a sticky folder": with_mode("inner", 0o1777),
    "root's file": with_owner("inner/file", 0),
    "root's file in a sticky folder": with_sticky(0),
    "a link": link,
    "a link with an absolute target": lambda home: link(home, str(home / "inner" / "file")),
    "a link with dots": lambda home: link(home, "../inner/./file"),
    "a relative path": relative,
}
BAD: dict[str, tuple[Callable[[Path], Path], str, str]] = {
    "a file that all may write": (
        with_mode("inner/file", 0o666),
        "others may write to it",
        "chmod go-w {home}/inner/file",
    ),
    "a file that some may write": (
        with_mode("inner/file", 0o646),
        "others may write to it",
        "chmod go-w {home}/inner/file",
    ),
    "an open folder": (with_mode("inner", 0o777), "others may write to it", "chmod go-w {home}/inner"),
    "an open folder above": (with_mode(".", 0o757), "others may write to it", "chmod go-w {home}"),
    "somebody's file": (with_owner("inner/file"), "belongs to user 54321", "chown"),
    "somebody's folder": (with_owner("inner"), "belongs to user 54321", "chown"),
    "somebody's file in a sticky folder": (with_sticky(SOMEBODY), "belongs to user 54321", "chown"),
    "somebody's link": (foreign_link, "belongs to user 54321", "chown"),
    "a link in an open folder": (link_through_open_folder, "others may write to it", "chmod go-w {home}/open"),
    "a link to an open folder": (link_to_open_folder, "others may write to it", "chmod go-w {home}/open"),
    "an open folder and dots": (hidden_by_dots, "others may write to it", "chmod go-w {home}/inner"),
    "a named pipe": (fifo, "no regular file", "give the path of one"),
}


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path.cwd())


@pytest.mark.parametrize("prepare", GOOD.values(), ids=GOOD)
def test_trusted(home: Path, prepare: Callable[[Path], Path]) -> None:
    path = prepare(home)
    assert read_file(path) == b"content"
    check_file(path)
    assert check_program(path) == str(home / "inner" / "file")


@pytest.mark.parametrize(("prepare", "fault", "remedy"), BAD.values(), ids=BAD)
def test_untrusted(home: Path, prepare: Callable[[Path], Path], fault: str, remedy: str) -> None:
    path = prepare(home)
    for check in (check_file, read_file, open_file, check_program):
        with pytest.raises(UntrustedFile) as caught:
            check(path)
        assert fault in str(caught.value)
        assert remedy.format(home=home) in str(caught.value)
        assert str(path) in str(caught.value)


def test_a_program_may_belong_to_the_user_as_whom_it_runs(home: Path) -> None:
    for name in ("inner", "inner/file"):
        path = with_owner(name)(home)
        for others in ((), (SOMEBODY + 1,)):
            with pytest.raises(UntrustedFile, match="belongs to user 54321"):
                check_program(path, trusted_uids=others)
        assert check_program(path, trusted_uids=(SOMEBODY,)) == str(path)
    with_mode("inner", 0o777)(home)
    with pytest.raises(UntrustedFile, match="others may write to it"):
        check_program(path, trusted_uids=(SOMEBODY,))


def test_a_program_need_not_be_readable_but_must_be_a_file(home: Path) -> None:
    assert check_program(with_mode("inner/file", 0o111)(home))
    with pytest.raises(FileNotFoundError):
        check_program(home / "missing")
    for path in (home, home / "inner", "/dev/fd/0"):
        with pytest.raises(UntrustedFile, match="no regular file"):
            check_program(path)


@pytest.mark.parametrize(("mode", "trusted"), [(0o600, True), (0o400, True), (0o604, False), (0o640, False)])
def test_secrets(home: Path, mode: int, trusted: bool) -> None:
    path = with_mode("inner/file", mode)(home)
    if trusted:
        assert read_file(path, secret=True) == b"content"
        return
    with pytest.raises(UntrustedFile, match=f"others may read or change the secret in it: run: chmod 600 {path}"):
        read_file(path, secret=True)
    if mode == 0o640:
        check_file(path, secret=True, group_may_read=True)


def test_a_secret_that_root_gives_to_a_group(home: Path) -> None:
    owned_by(0, home / "inner" / "file")
    os.chown(home / "inner" / "file", 0, SOMEBODY)
    check_file(with_mode("inner/file", 0o440)(home), secret=True)
    with pytest.raises(UntrustedFile, match="others may read"):
        check_file(with_mode("inner/file", 0o444)(home), secret=True)


def test_the_remedy_for_a_secret_of_root_lets_its_reader_go_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is not root's could not read the file with mode 0600."""
    path = with_mode("inner/file", 0o644)(home)
    owned_by(0, path)
    monkeypatch.setattr(os, "geteuid", lambda: SOMEBODY)
    monkeypatch.setattr(os, "getegid", lambda: SOMEBODY)
    monkeypatch.setattr(os, "getgroups", list)
    for group, remedy in ((SOMEBODY, "chmod 640"), (0, f"chgrp {SOMEBODY} {path} && chmod 640")):
        os.chown(path, 0, group)
        with pytest.raises(UntrustedFile, match=f"the secret in it: run: {remedy} {path}"):
            check_file(path, secret=True)


def test_a_private_group_may_write(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import grp
    import pwd

    user = pwd.getpwuid(os.geteuid())
    members: list[str] = []
    group = grp.struct_group((user.pw_name, "x", 4242, members))
    monkeypatch.setattr(grp, "getgrgid", lambda _: group)
    path = with_mode("inner/file", 0o664)(home)
    check_file(path)
    members.append("somebody")
    with pytest.raises(UntrustedFile, match="others may write"):
        check_file(path)


def test_a_group_that_does_not_exist(home: Path) -> None:
    owned_by(0, home / "inner" / "file")
    os.chown(home / "inner" / "file", 0, SOMEBODY)
    with pytest.raises(UntrustedFile, match="others may write"):
        check_file(with_mode("inner/file", 0o664)(home))


def test_what_is_missing_or_of_another_kind(home: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_file(home / "missing")
    with pytest.raises(FileNotFoundError):
        read_file(home / "missing" / "file")
    with pytest.raises(IsADirectoryError):
        read_file(home / "inner")
    with pytest.raises(NotADirectoryError):
        read_file(home / "inner" / "file" / "file")
    with pytest.raises(NotADirectoryError):
        check_folder(home / "inner" / "file")
    with pytest.raises(ValueError, match="null"):
        read_file("a\0b")
    (home / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        read_file(home / "loop")


def test_folders(home: Path) -> None:
    make_folder(home / "new" / "folder")
    assert (home / "new" / "folder").stat().st_mode & 0o777 == 0o700
    (home / "new").chmod(0o777)
    for check in (check_folder, make_folder):
        with pytest.raises(UntrustedFile, match=f"{home}/new: others may write to it: run: chmod go-w {home}/new"):
            check(home / "new" / "folder")
    check_folder("/")


def test_a_file_is_made_and_no_link_is_followed(home: Path) -> None:
    descriptor = open_file(home / "lock", os.O_RDWR | os.O_CREAT)
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)
    assert (home / "lock").stat().st_mode & 0o777 == 0o600
    (home / "elsewhere").symlink_to("/nowhere/file")
    with pytest.raises(FileNotFoundError):
        open_file(home / "elsewhere", os.O_RDWR | os.O_CREAT)


def test_what_the_shell_has_opened(home: Path) -> None:
    """As in ``--token-file <(pass show token)``, and ``--token-file /dev/stdin``."""
    reader, writer = os.pipe()
    os.write(writer, b"content")
    os.close(writer)
    try:
        assert read_file(f"/dev/fd/{reader}", secret=True) == b"content"
    finally:
        os.close(reader)


def test_a_system_without_owners(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trusted_files, "_HAS_OWNERS", False)
    path = with_mode("inner/file", 0o666)(home)
    assert read_file(path, secret=True) == b"content"
    check_folder(home)
