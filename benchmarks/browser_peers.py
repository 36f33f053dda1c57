"""What `benchmarks/browser.py` compares with: it sets up its peers in a folder, and starts their servers.

The libraries come with npm, by the node of `make web`, in pinned versions. ttyd is Debian's package: that of this
machine if it is installed; else the one of Debian's unstable suite is fetched by apt and unpacked with its libraries,
and nothing of the machine changes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rpcclient import Client
from web.building import NODE, NPM, WEB, install, make_environment

PAGES = Path(__file__).parent / "pages"
PINNED = {"rpc-websockets": "10.0.1", "socket.io": "4.8.4", "socket.io-client": "4.8.4", "ws": "8.23.0"}
_TTYD_PACKAGES = (
    "ttyd", "libwebsockets19t64", "libwebsockets-evlib-uv", "libc6", "libcap2", "libjson-c5", "libssl3t64", "libuv1t64",
    "libzstd1", "zlib1g", "libgcc-s1",
)  # fmt: skip


def install_libraries(folder: Path) -> None:
    """Install the pinned libraries into a folder, unless they are there, and bundle the pages that use them.

    Parameters:
        folder: where.

    Raises:
        subprocess.CalledProcessError: a tool has failed.
    """
    install()
    wanted = json.dumps({"private": True, "type": "module", "dependencies": PINNED})
    manifest = folder / "package.json"
    if not manifest.is_file() or manifest.read_text(encoding="utf-8") != wanted:
        manifest.write_text(wanted, encoding="utf-8")
        command = [str(NODE), str(NPM), "install", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(command, cwd=folder, env=make_environment(), check=True, stdout=subprocess.DEVNULL)
    for name in ("rpc_websockets_server.mjs", "socket_io_server.mjs"):
        shutil.copy(PAGES / name, folder)  # Node looks for libraries beside the module that imports them.
    esbuild = WEB / "node_modules" / "esbuild" / "bin" / "esbuild"
    sources = [str(PAGES / f"{name}.js") for name in ("remote_services", "rpc_websockets", "socket_io")]
    ours = f"--alias:@remote-services/client={WEB / 'client' / 'src' / 'index.ts'}"
    options = ["--bundle", "--minify", "--format=esm", "--target=es2022", "--log-level=warning", ours]
    environment = make_environment({"NODE_PATH": str(folder / "node_modules")})
    command = [str(esbuild), *sources, *options, f"--outdir={folder / 'pages'}"]
    subprocess.run(command, env=environment, check=True)


@contextmanager
def run_process(command: list[str], cwd: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run a server, and end it.

    Parameters:
        command: what starts it.
        cwd: its folder.
    """
    with subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


@contextmanager
def run_node_server(folder: Path, module: str, scheme: str) -> Iterator[str]:
    """Run a server in JavaScript; gives its URL.

    Parameters:
        folder: where the libraries are.
        module: its file.
        scheme: of its URL.
    """
    with run_process([str(NODE), module], cwd=folder) as process:
        assert process.stdout is not None
        yield f"{scheme}://127.0.0.1:{int(process.stdout.readline())}"


@contextmanager
def run_our_server(folder: Path, origin: str = "", *arguments: str) -> Iterator[tuple[str, str]]:
    """Run `rpcserver serve`; gives its URL and the owner's token.

    Parameters:
        folder: for its state.
        origin: of pages from elsewhere that may connect.
        arguments: further ones of the command.
    """
    environment = {**os.environ, "RPCSERVER_STATE_DIR": str(folder)}
    if origin:
        environment["RPCSERVER_LISTEN__ALLOWED_ORIGINS"] = json.dumps([origin])
    serve = [sys.executable, "-m", "rpcserver", "serve", "--port", "0", "--unix", "none", "--log-level", "WARNING"]
    with subprocess.Popen([*serve, *arguments], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        url = process.stdout.readline().rpartition(" ")[2].strip()
        try:
            yield url, (folder / "token").read_text(encoding="utf-8").strip()
        finally:
            process.terminate()


def make_address(url: str, token: str) -> str:
    """Make a ticket, and return the address of the console that it opens.

    Parameters:
        url: of the server.
        token: the owner's.
    """
    with Client(url, token=token) as client:
        answer = client.call("rpc.create_ticket", returns=dict[str, object])
    return f"{url.replace('ws://', 'http://').rstrip('/')}/#ticket={answer['ticket']}"


def find_ttyd(folder: Path) -> tuple[list[str], Path | None]:
    """Return the command that starts ttyd, and the folder in which it has to be started.

    Parameters:
        folder: where to unpack it, if it is not installed.

    Raises:
        subprocess.CalledProcessError: apt has failed, or there is no such package.
    """
    installed = shutil.which("ttyd")
    if installed is not None:
        return [installed], None
    root = folder / "ttyd"
    libraries = root / "usr" / "lib" / "x86_64-linux-gnu"
    if not libraries.is_dir():
        _unpack(root, _TTYD_PACKAGES)
    # It finds the library of its event loop in the folder in which it is started. Its programs are those of this
    # machine, with the libraries of this machine: so no variable names the folder.
    loader = str(libraries / "ld-linux-x86-64.so.2")
    return [loader, "--library-path", str(libraries), str(root / "usr" / "bin" / "ttyd")], libraries


def _unpack(root: Path, packages: tuple[str, ...]) -> None:
    """Unpack packages of Debian's unstable suite into a folder, with the mirror and the keys of this machine's apt."""
    (root / "lists" / "partial").mkdir(parents=True)
    (root / "archives" / "partial").mkdir(parents=True)
    wanted = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian"]
    mirrors = subprocess.run(wanted, check=True, capture_output=True, text=True).stdout.splitlines()
    mirror = next(each for each in mirrors if re.search(r"/debian/?$", each))
    sources = root / "sources.list"
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    sources.write_text(f"deb [signed-by={keys}] {mirror} unstable main\n", encoding="utf-8")
    own = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": root / "lists",
        "Dir::Cache": root,
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in own.items())]
    subprocess.run([*apt, "update"], check=True)
    subprocess.run([*apt, "download", *packages], check=True, cwd=root / "archives", stdout=subprocess.DEVNULL)
    for package in (root / "archives").glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(package), str(root)], check=True)


@contextmanager
def run_ttyd(folder: Path, program: list[str]) -> Iterator[str]:
    """Run ttyd with a program in which one may write; gives the address of its page.

    Parameters:
        folder: where it is unpacked, if it is not installed; also that of the program.
        program: what runs in its terminal.
    """
    command, place = find_ttyd(folder)
    options = ["--port", "0", "--interface", "127.0.0.1", "--writable", "--cwd", str(folder)]
    with run_process([*command, *options, *program], cwd=place) as process:
        assert process.stdout is not None
        found = next(filter(None, (re.search(r"Listening on port: (\d+)", line) for line in process.stdout)))
        yield f"http://127.0.0.1:{found[1]}/"
