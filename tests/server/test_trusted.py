"""Whatever the server trusts is refused where somebody else could have put something into it (``rpcwire.trusted_files``
tests the rules themselves)."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from importlib.util import cache_from_source
from pathlib import Path

import pytest
import trustme

from rpcclient.errors import ConnectFailed
from rpcclient.trust import Trust
from rpcserver.config import ConfigError, TlsConfig
from rpcserver.door.listeners import bind_unix
from rpcserver.door.tls import tls_context
from rpcserver.layers.loading import load_config
from rpcserver.plugins.finding import services_in
from rpcserver.security.tokens import load_token
from rpcserver.state import LOCK, lock_state
from rpcservices.database.passwords import find_password

SOMEBODY = 54321
"""A user who is neither root nor the one who runs the tests."""
PLUGIN = """
from rpcserver import Service, method

class Desk(Service):
    @method()
    async def add(self) -> int:
        return 1
"""

Use = Callable[[Path], object]
"""Prepares a file or folder of this path, and returns what the server does with it."""


class Kind:
    """One kind of what is trusted.

    Parameters:
        name: the name of the file or folder.
        make: makes it.
        use: does with it what the server or a client does.
        is_secret: whether others must not read it, either.
        is_folder: whether it is a folder.
        error: what is raised.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[Path], object],
        use: Use,
        *,
        is_secret: bool = False,
        is_folder: bool = False,
        error: type[Exception] = ConfigError,
    ) -> None:
        self.name, self.make, self.use = name, make, use
        self.is_secret, self.is_folder, self.error = is_secret, is_folder, error


def make_pem(path: Path) -> None:
    """Write a certificate with its key, here and into ``own.pem`` beside it."""
    issued = trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem
    for file in (path, path.parent / "own.pem"):
        issued.write_to_path(file)
        file.chmod(0o600)


def lock(path: Path) -> None:
    os.close(lock_state(path))


def listen(path: Path) -> None:
    bind_unix(path / "s.sock").close()


def own(path: Path) -> str:
    return str(path.parent / "own.pem")


KINDS = {
    "the state folder": Kind("state", Path.mkdir, lock, is_folder=True),
    "the lock": Kind(LOCK, Path.touch, lambda path: lock(path.parent)),
    "the token": Kind("token", lambda path: path.write_text("x" * 40), load_token, is_secret=True),
    "the configuration": Kind("rpcserver.toml", Path.touch, load_config),
    "a plugin": Kind("desk.py", lambda path: path.write_text(PLUGIN), services_in),
    "the folder of a socket": Kind("run", Path.mkdir, listen, is_folder=True),
    "the certificate": Kind(
        "cert.pem", make_pem, lambda path: tls_context(TlsConfig(certificate_file=str(path), key_file=own(path)))
    ),
    "the key": Kind(
        "key.pem", make_pem, lambda path: tls_context(TlsConfig(certificate_file=own(path), key_file=str(path))),
        is_secret=True,
    ),
    "the authorities of clients": Kind(
        "ca.pem", make_pem, lambda path: tls_context(
            TlsConfig(certificate_file=own(path), key_file=own(path), client_ca_file=str(path))
        ),
    ),
    "the password of a database": Kind(
        "password", lambda path: path.write_text("x"), lambda path: find_password("main", path, None, None),
        is_secret=True, error=ValueError,
    ),
    "a password in secrets_dir": Kind(
        "main", lambda path: path.write_text("x"), lambda path: find_password("main", None, None, path.parent),
        is_secret=True, error=ValueError,
    ),
    "the authorities that a client trusts": Kind(
        "ca.pem", make_pem, lambda path: Trust(ca_file=path).settings(), error=ConnectFailed
    ),
    "a client's key": Kind(
        "key.pem", make_pem, lambda path: Trust(cert_file=own(path), key_file=path).settings(), is_secret=True,
        error=ConnectFailed,
    ),
}  # fmt: skip
FAULTS = [
    "somebody's",
    "all may write to it",
    "in an open folder",
    "in somebody's folder",
    "somebody's link",
    "readable",
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder that nobody else can write to, in another one."""
    folder = tmp_path / "above" / "folder"
    folder.mkdir(parents=True, mode=0o700)
    return folder


def prepare(kind: Kind, place: Path) -> Path:
    path = place / kind.name
    kind.make(path)
    path.chmod(0o700 if kind.is_folder else 0o600 if kind.is_secret else 0o644)
    return path


def spoil(path: Path, fault: str) -> Path:
    """Bring a fault about, and return the place that has it."""
    if "somebody" in fault and os.geteuid() != 0:
        pytest.skip("only root can give files away")
    above = path.parent.parent
    if fault == "somebody's":
        os.chown(path, SOMEBODY, -1)
        return path
    if fault == "all may write to it":
        path.chmod(path.stat().st_mode | 0o022)
        return path
    if fault == "in an open folder":
        above.chmod(0o777)
        return above
    if fault == "in somebody's folder":
        os.chown(above, SOMEBODY, -1)
        return above
    if fault == "somebody's link":
        path.rename(path.parent / "elsewhere")
        path.symlink_to("elsewhere")
        os.chown(path, SOMEBODY, -1, follow_symlinks=False)
        return path
    path.chmod(0o644)
    return path


@pytest.mark.parametrize("name", KINDS)
def test_without_a_fault(place: Path, name: str) -> None:
    kind = KINDS[name]
    kind.use(prepare(kind, place))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", KINDS)
def test_with_a_fault(place: Path, name: str, fault: str) -> None:
    kind = KINDS[name]
    path = prepare(kind, place)
    if fault == "readable" and not kind.is_secret:
        spoil(path, fault) if not kind.is_folder else path.chmod(0o755)
        kind.use(path)
        return
    spoilt = spoil(path, fault)
    with pytest.raises(kind.error) as caught:
        kind.use(path)
    assert str(spoilt) in str(caught.value)
    remedies = ("run: chmod", "run: chown", "remove it")
    assert any(remedy in str(caught.value) for remedy in remedies), str(caught.value)


def test_the_lock_is_no_link(place: Path) -> None:
    """Not even one's own: it may have been made while others could write there."""
    (place / "precious").write_text("precious")
    (place / LOCK).symlink_to("precious")
    with pytest.raises(ConfigError, match=f"state_dir: {place}/{LOCK}: it is a symbolic link: remove it"):
        lock(place)
    (place / LOCK).unlink()
    (place / LOCK).symlink_to("missing")
    with pytest.raises(ConfigError, match="it is a symbolic link"):
        lock(place)
    assert not (place / "missing").exists()


@pytest.mark.parametrize("use", [lock, listen, lambda path: load_token(path / "token")])
def test_nothing_is_made_below_an_open_folder(place: Path, use: Use) -> None:
    place.chmod(0o777)
    with pytest.raises(ConfigError, match=f"{place}: others may write to it: run: chmod go-w {place}"):
        use(place / "new" / "folder")
    assert list(place.iterdir()) == []


def test_a_token_that_the_disk_has_no_room_for_leaves_no_file(place: Path) -> None:
    """An empty file would keep the server from starting for good."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, old[1]))  # Each write fails; files can be made. So does a full disk.
    try:
        with pytest.raises(ConfigError, match="token: the token cannot be written: File too large: make room"):
            load_token(place / "token")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert list(place.iterdir()) == []
    assert load_token(place / "token") == load_token(place / "token")


@pytest.mark.parametrize("where", ["folder", "file"])
def test_compiled_code_of_a_plugin_that_others_could_have_made(place: Path, where: str) -> None:
    """Python runs it instead of the plugin, if it has the plugin's time and size."""
    path = place / "desk.py"
    path.write_text(PLUGIN)
    compiled = Path(cache_from_source(str(path)))
    compiled.parent.mkdir(parents=True, exist_ok=True)
    spoilt = compiled.parent
    if where == "file":
        compiled.touch()
        spoilt = compiled
    spoilt.chmod(0o777)
    with pytest.raises(ConfigError, match=f"plugins.files: {spoilt}: others may write to it: run: chmod go-w {spoilt}"):
        services_in(path)
