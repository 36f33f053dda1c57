"""`rpcserver install` and `uninstall`: what they put in place, what they leave alone, and what they take back."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rpcserver.config import ConfigError
from rpcserver.daemon.cli import main
from rpcserver.installing.contents import find_share
from rpcserver.installing.units import fit_unit, quote, read_version
from rpcserver.layers import loading

PROGRAM = str(Path(sys.executable).with_name("rpcserver"))
UNIT = "etc/systemd/system/rpcserver.service"
STRICT = "etc/systemd/system/rpcserver-strict.service"
CONFIGURATION = "etc/rpcserver/rpcserver.toml"
MANIFEST = "var/lib/rpcserver-install/manifest.json"


def tree(root: Path) -> dict[str, bytes | None]:
    """All files below a folder and what stands in them, and all folders."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in sorted(root.rglob("*"))
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root folder of a machine on which some folders are there already, and somebody else's unit."""
    root = tmp_path / "root"
    (root / "etc" / "systemd" / "system").mkdir(parents=True)
    (root / "etc" / "systemd" / "system" / "other.service").write_text("[Service]\nExecStart=/bin/true\n")
    return root


def run(*words: str | Path, status: int = 0, **options: str) -> Result:
    done = CliRunner().invoke(main, [str(word) for word in words], **options)
    assert done.exit_code == status, done.output
    return done


def install(root: Path, *words: str) -> list[str]:
    return run("install", "--system", "--root", root, "--program", PROGRAM, *words).output.splitlines()


def uninstall(root: Path, *words: str) -> list[str]:
    return run("uninstall", "--system", "--root", root, *words).output.splitlines()


def test_what_is_installed_is_said_and_all_of_it_is_taken_back(root: Path) -> None:
    before = tree(root)
    said = install(root, "--dry-run")
    assert tree(root) == before and all(line.startswith("create  ") for line in said)
    assert install(root) == said
    installed = {f"create  {root / name}" for name, data in tree(root).items() if data is not None}
    assert installed - set(said) == {
        f"create  {root / name}" for name in (MANIFEST, "etc/systemd/system/other.service")
    }
    assert {f"create  {root / name}" for name in (UNIT, CONFIGURATION, "usr/local/share/man/man8/rpcserver.8")} < set(
        said
    )
    assert f"ExecStart={PROGRAM} serve\n" in (root / UNIT).read_text()
    assert {path.stat().st_mode & 0o777 for path in root.rglob("*.service")} == {0o644}
    assert all(line.startswith("leave   ") for line in install(root))
    said = uninstall(root, "--dry-run")
    assert set(said) > {f"remove  {root / UNIT}", f"keep    {root / 'etc/rpcserver'} (data)"}
    uninstall(root)
    assert tree(root) == before
    assert "did you mean --user?" in run("uninstall", "--system", "--root", root, status=2).output


def test_what_somebody_has_edited_is_kept_and_named(root: Path) -> None:
    (root / CONFIGURATION).parent.mkdir(parents=True)
    (root / CONFIGURATION).write_text("grace_s = 3\n")
    (root / STRICT).symlink_to("/dev/null")  # As `systemctl mask` does.
    said = install(root)
    assert f"keep    {root / CONFIGURATION} (it was there before)" in said
    assert "keep" in next(line for line in install(root, "--strict", "--dry-run") if STRICT in line)
    with (root / UNIT).open("a") as file:
        file.write("# edited\n")
    assert f"keep    {root / UNIT} (it was edited)" in install(root)
    assert (root / UNIT).read_text().endswith("# edited\n")
    said = uninstall(root)
    assert f"keep    {root / UNIT} (it was edited)" in said and f"keep    {root / 'etc/rpcserver'} (data)" in said
    assert (root / UNIT).exists() and (root / CONFIGURATION).read_text() == "grace_s = 3\n"
    assert f"replace {root / UNIT} (it was there before)" in install(root, "--replace")
    assert not (root / UNIT).read_text().endswith("# edited\n")
    assert (root / CONFIGURATION).read_text() == "grace_s = 3\n" and (root / STRICT).is_symlink()
    assert f"remove  {root / 'etc/rpcserver'} (data)" in uninstall(root, "--purge")
    assert not (root / "etc" / "rpcserver").exists() and not (root / UNIT).exists()


def test_an_upgrade_changes_what_nobody_has_edited(root: Path) -> None:
    install(root)
    assert (
        f"update  {root / UNIT}"
        in run("install", "--system", "--root", root, "--program", "/opt/other place/rpcserver").output.splitlines()
    )
    assert 'ExecStart="/opt/other place/rpcserver" serve\n' in (root / UNIT).read_text()
    said = install(root, "--strict")
    assert {f"create  {root / STRICT}", f"remove  {root / UNIT}"} <= set(said) and not (root / UNIT).exists()
    assert "Service=rpcserver-strict.service\n" in (root / "etc/systemd/system/rpcserver.socket").read_text()


def test_no_link_to_a_unit_stays_that_is_gone(root: Path, missing: Callable[[str], None]) -> None:
    """Links that `systemctl enable` has made."""
    if shutil.which("systemctl") is None:
        missing("systemctl is not installed")
    before = tree(root)
    wants = root / "etc" / "systemd" / "system" / "multi-user.target.wants"
    install(root)
    subprocess.run(["systemctl", f"--root={root}", "enable", "rpcserver.service"], check=True)
    assert (wants / "rpcserver.service").is_symlink()
    install(root, "--strict")
    assert not list(wants.glob("*"))
    subprocess.run(["systemctl", f"--root={root}", "enable", "rpcserver-strict.service"], check=True)
    (root / "etc/systemd/system/rpcserver.socket").unlink()  # The operator has removed it: systemctl knows it no more.
    uninstall(root)
    assert {name: data for name, data in tree(root).items() if "wants" not in name} == before
    assert not list(wants.glob("*"))


def test_it_asks_about_data(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = root / "var" / "lib" / "rpcserver" / "token"
    for purge, answer in ((False, "n\n"), (False, "\n"), (True, "y\n")):
        install(root)
        data.parent.mkdir(exist_ok=True)
        data.write_text("secret")
        # A terminal answers: the runner's own input is none.
        script = "import sys; sys.stdin.isatty = lambda: True; from rpcserver.daemon.cli import main; main(prog_name='rpcserver')"
        done = subprocess.run(
            [sys.executable, "-c", script, "uninstall", "--system", "--root", str(root)],
            input=answer, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0 and f"Remove {data.parent} and " in done.stdout, done.stderr
        assert data.exists() is not purge


def test_a_users_own_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    said = run("install", "--user", "--program", PROGRAM).output
    assert f"create  {tmp_path}/.config/systemd/user/rpcserver.service" in said
    assert "systemctl --user enable --now rpcserver.service" in said
    assert not re.search(r"sysusers|tmpfiles|\.socket", said)
    assert "User=" not in (tmp_path / ".config/systemd/user/rpcserver.service").read_text()
    run("uninstall", "--user")
    assert tree(tmp_path) == {}


def test_what_cannot_be_installed_is_said(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*words: str | Path) -> str:
        before = tree(root)
        said = run(*words, status=2).output
        assert said.startswith("rpcserver: ") and tree(root) == before
        return said

    assert "use --system" in refused("install", "--user", "--strict", "--root", root)
    assert "write the whole path" in refused("install", "--system", "--root", root, "--program", "rpcserver")
    assert "systemd does not run" in refused("install", "--system", "--root", root, "--start")
    hidden = tmp_path / "hidden"
    hidden.mkdir(0o700)
    shutil.copy("/bin/true", hidden / "rpcserver")
    if os.geteuid() == 0:
        said = refused("install", "--system", "--dry-run", "--program", hidden / "rpcserver")
        assert "the user rpcserver cannot reach" in said and "/opt/rpcserver" in said
        assert "does not see" in refused("install", "--system", "--strict", "--dry-run", "--program", "/root/rpcserver")
    (root / "usr").write_text("a file, where a folder should be")
    install_words = ("install", "--system", "--root", root, "--program", PROGRAM)
    assert str(root / "usr") in run(*install_words, status=2).output


@pytest.mark.parametrize(
    ("text", "remedy"),
    [('{"version": 2}', "use the rpcserver that has installed"), ("{", "damaged"), ('{"version": 1}', "damaged")],
)
def test_a_manifest_that_cannot_be_used(root: Path, text: str, remedy: str) -> None:
    install(root)
    before = (root / UNIT).read_bytes()
    (root / MANIFEST).write_text(text)
    for command in (["install", "--program", PROGRAM], ["uninstall"]):
        assert remedy in run(*command, "--system", "--root", root, status=2).output
    assert (root / UNIT).read_bytes() == before


def test_a_manifest_that_others_can_write_is_not_believed(root: Path) -> None:
    install(root)
    (root / MANIFEST).chmod(0o666)
    assert "manifest.json" in run("uninstall", "--system", "--root", root, status=2).output
    assert (root / UNIT).exists()


def test_the_unit_fits_the_version_of_systemd() -> None:
    text = "[Service]\nType=notify-reload\nExecStart=rpcserver serve\n"
    assert fit_unit(text, "/usr/bin/rpcserver", 253) == text.replace("=rpcserver", "=/usr/bin/rpcserver")
    older = "[Service]\nType=notify\nExecStart=/usr/bin/rpcserver serve\nExecReload=/bin/kill -HUP $MAINPID\n"
    assert fit_unit(text, "/usr/bin/rpcserver", 252) == fit_unit(text, "/usr/bin/rpcserver", None) == older
    assert read_version("systemd 252 (252.38-1~deb12u1)\n+PAM") == 252 and read_version("") is None
    assert quote('/a b/50%"\\') == '"/a b/50%%\\"\\\\"'


@pytest.mark.parametrize("profile", ["", "--strict"])
def test_systemd_finds_no_fault(
    root: Path, profile: str, missing: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    if shutil.which("systemd-analyze") is None:
        missing("systemd-analyze is not installed")
    if shutil.which("man") is None:
        missing("man is not installed: systemd-analyze looks for the pages of Documentation=")
    install(root, *([profile] if profile else []))
    units = sorted(map(str, (root / "etc" / "systemd" / "system").glob("rpcserver*")))
    assert len(units) == 2
    environment = {**os.environ, "MANPATH": str(root / "usr/local/share/man")}
    done = subprocess.run(
        ["systemd-analyze", "verify", *units], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    name = Path(STRICT if profile else UNIT).name
    words = ["systemd-analyze", "security", "--offline=true", f"--root={root}", name]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stderr
    with capsys.disabled():
        print(f"\n{name}: exposure level {found[1]} by systemd-analyze security")
    assert not profile or float(found[1]) <= 2.0


def test_the_files_are_missing(monkeypatch: pytest.MonkeyPatch, root: Path, tmp_path: Path) -> None:
    from rpcserver.installing import contents

    monkeypatch.setattr(contents, "files", lambda package: tmp_path / "site-packages" / package)
    with pytest.raises(ConfigError, match="install the package"):
        contents.find_share()


@pytest.mark.parametrize("name", ["rpcserver.service", "rpcserver-strict.service", "rpcserver-user.service"])
def test_the_server_understands_the_variables_of_a_unit(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """systemd reads quotes as a shell does, and takes them away within words, too (systemd.exec(5), Environment=)."""
    from rpcserver.layers import loading

    text = (Path(__file__).resolve().parents[2] / "config" / "systemd" / name).read_text()
    lines = re.findall(r"(?m)^Environment=(.*)$", text)
    for word in [word for line in lines for word in shlex.split(line)]:
        variable, _, value = word.partition("=")
        monkeypatch.setenv(variable, value.replace("%S", "/var/lib").replace("%t", "/run"))
    file = tmp_path / "rpcserver.toml"
    file.write_text("")
    config = loading.load(file).config
    assert (config.plugins.disabled == ("programs",)) is ("strict" in name)
    assert (str(config.unix_path) == "/run/rpcserver/rpcserver.sock") is ("user" not in name)


def test_the_machines_configuration_leads_commands_to_the_server_of_the_unit(root: Path) -> None:
    install(root)
    config = loading.load(root / CONFIGURATION).config
    unit = (root / UNIT).read_text().replace("%S", "/var/lib").replace("%t", "/run")
    assert f"RPCSERVER_STATE_DIR={config.state_path} RPCSERVER_LISTEN__UNIX={config.unix_path}\n" in unit


@pytest.mark.parametrize("name", ["installed.toml", "installed-user.toml"])
def test_lines_that_wait_to_be_switched_on_are_settings(name: str, tmp_path: Path) -> None:
    text = find_share().joinpath(name).read_text(encoding="utf-8")
    file = tmp_path / "rpcserver.toml"
    file.write_text(re.sub(r"^# ?(?=[a-z_]+ = |\[)", "", text, flags=re.MULTILINE))
    config = loading.load(file).config
    assert config.listen.host == "0.0.0.0" and config.tls.certificate_file == "/etc/rpcserver/server.pem"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_root_goes_on_as_the_user_of_the_server(tmp_path: Path) -> None:
    account = pwd.getpwnam("nobody")
    os.chown(tmp_path, account.pw_uid, account.pw_gid)
    program = """
import os, sys
from pathlib import Path
from rpcserver.daemon.server_user import act_as_owner, become_owner
become_owner(Path(sys.argv[1], "missing"))
assert os.geteuid() == 0
groups = os.getgroups()
with act_as_owner(Path(sys.argv[1])):
    print(os.getresuid()[1], os.getresgid()[1], 0 in os.getgroups())
assert os.getresuid() == os.getresgid() == (0, 0, 0) and os.getgroups() == groups
become_owner(Path(sys.argv[1]))
print(os.getresuid(), os.getresgid(), 0 in os.getgroups(), os.environ["HOME"])
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    uid, gid = account.pw_uid, account.pw_gid
    acted, became = done.stdout.splitlines()
    assert acted == f"{uid} {gid} False"
    assert became == f"{(uid,) * 3} {(gid,) * 3} False {account.pw_dir}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_root_does_not_run_the_server_of_another_user(tmp_path: Path) -> None:
    """It says how to start it. To give the folder to root, as advice was once, would stop the packaged server."""
    name = pwd.getpwuid(1).pw_name
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    os.chown(state, 1, 1)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("RPC")},
        "RPCSERVER_STATE_DIR": str(state), "RPCSERVER_LISTEN__UNIX": "none", "RPCSERVER_LISTEN__PORT": "0",
    }  # fmt: skip
    command = [sys.executable, "-m", "rpcserver", "serve"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"state_dir: {state} belongs to the user {name}, and root cannot run its server" in done.stderr
    assert "systemctl start rpcserver" in done.stderr and f"runuser -u {name} -- rpcserver serve" in done.stderr
    assert "chown" not in done.stderr
    assert not list(state.iterdir()), "nothing was made in it"
