"""What ``rpcclient run`` and ``rpcclient shell`` share: options, how a program is started, and a terminal for it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from . import context, outcome, words
from .characters import visible_line
from .standard import STDIN
from .terminal import RawTerminal

if TYPE_CHECKING:
    from rpcclient import AsyncClient, AsyncProgram
    from rpcclient.programs.results import StartOptions
    from rpcclient.stubs.programs import Limits, ProgramNotStarted, TerminalSize

CANNOT_RUN = 126
NO_SUCH_PROGRAM = 127
"""Exit statuses for a program that does not start, as of a shell (POSIX, 2.8.2) and env(1)."""
TERMINAL_BYTES = 256 * 1024
"""How much output of a program on a terminal the server keeps, unless it is to be kept. The program can be no more
ahead of the screen, so that Ctrl-C takes effect soon on a slow connection, too."""
LITTLE_WINDOW = 64
"""How many pieces of output may be under way then. With so many, the server makes small pieces."""
MOST_LINES = 65535
KEPT_WINDOW = 2
"""How many pieces of output, each up to 128 KiB, may be under way to a terminal where more is kept."""
REATTACH_S = 60.0
"""How long a program waits for a client that has lost its connection."""
_F = TypeVar("_F", bound=Callable[..., Any])


def _pairs(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for value in values:
        name, sign, rest = value.partition("=")
        if not name or not sign:
            raise click.BadParameter(f"{value!r}: write NAME=VALUE")
        pairs[words.text(name, param.opts[0])] = (words.to_text if param.name == "env" else words.text)(
            rest, f"{param.opts[0]} {name}"
        )
    return pairs


def label_option(text: str) -> Callable[[_F], _F]:
    """The option ``--label`` of commands about several programs; ``text`` is its help."""
    return click.option("--label", "-l", "labels", multiple=True, metavar="NAME=VALUE", callback=_pairs, help=text)


_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([bkmgt]?)(?:i?b)?", re.IGNORECASE)


def _size(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    match = None if value is None else _SIZE.fullmatch(value)
    size = 0 if match is None else round(float(match[1]) * _UNITS[match[2].lower()])
    if value is not None and not size:
        raise click.BadParameter(f"{value!r}: write a number of bytes, or one with k, m, g or t behind it")
    return size or None


_OPTIONS = (
    click.option("--cwd", metavar="DIR", help="Where to run it; else the home directory there."),
    click.option("--env", "-e", multiple=True, metavar="NAME=VALUE", callback=_pairs, help="A variable to set."),
    click.option("--login-env", is_flag=True, help="Begin with the environment of a login."),
    click.option("--user", "-u", metavar="NAME", help="As whom to run it."),
    click.option("--label", "-l", "labels", multiple=True, metavar="NAME=VALUE", callback=_pairs, help="A note on it."),
    click.option(
        "--timeout", "program_timeout_s", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
        help="End it after this time.",
    ),
    click.option(
        "--grace", "grace_s", type=click.FloatRange(min=0), metavar="SECONDS",
        help="Time between TERM and KILL when that is over; else as the server has it.",
    ),
    click.option(
        "--memory", "memory_bytes", metavar="SIZE", callback=_size, help="What its tree may take, such as 512m or 2g."
    ),
    click.option("--cpus", type=click.FloatRange(min=0, min_open=True), metavar="N", help="Processors it may use."),
    click.option("--processes", type=click.IntRange(min=1), metavar="N", help="Processes that its tree may have."),
    click.option(
        "--retain", "retain_s", type=click.FloatRange(min=0), metavar="SECONDS",
        help="Keep its output so long after its end.",
    ),
)  # fmt: skip


def options(command: _F) -> _F:
    """The options of everything that starts a program."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def arguments(argv: Sequence[str]) -> list[str]:
    """Encode a program and its arguments for sending.

    Raises:
        click.UsageError: one of them cannot be.
    """
    return [words.to_text(word, "the command" if not n else f"argument {n}") for n, word in enumerate(argv)]


def start_options(values: dict[str, Any], settings: context.Settings) -> StartOptions:
    """The options for :meth:`Programs.start`."""
    limits = {name: values[name] for name in ("memory_bytes", "cpus", "processes") if values[name] is not None}
    return {
        "cwd": None if values["cwd"] is None else words.to_text(values["cwd"], "--cwd"),
        "env": values["env"],
        "env_base": "login" if values["login_env"] else "clean",
        "user": None if values["user"] is None else words.text(values["user"], "--user"),
        "labels": values["labels"],
        "timeout_s": values["program_timeout_s"] or settings.timeout_s,
        "grace_s": values["grace_s"],
        "limits": _limits(limits) if limits else None,
        "retain_s": values["retain_s"],
        "overflow": "wait",
        "reattach_s": REATTACH_S,
    }


def _limits(limits: dict[str, Any]) -> Limits:
    from rpcclient.stubs.programs import Limits  # Few commands need the models.

    return Limits(**limits)


async def start(
    client: AsyncClient, argv: Sequence[str], options: StartOptions, *, window: int | None = None
) -> AsyncProgram[bytes]:
    """Start a program that this process stays with. After a lost connection it tries to connect for
    :data:`REATTACH_S`, and for no longer than the program may take.

    Parameters:
        client: where to.
        argv: the program and its arguments.
        options: of :meth:`Programs.start`.
        window: how many pieces of output may be under way; the client's own number where not given.
    """
    program = await client.options(window=window).programs.start(argv, **options)
    program.reconnect_timeout_s = min(REATTACH_S, options.get("timeout_s") or REATTACH_S)
    return program


def local_terminal(*, output: bool = True) -> RawTerminal:
    """The terminal that this process has.

    Parameters:
        output: whether its output must be one, too.

    Raises:
        click.UsageError: it has none.
    """
    if not (os.isatty(STDIN) and (sys.stdout.isatty() or not output)):
        raise click.UsageError(
            "standard input and output must be a terminal for this; rpcclient run without -t "
            "needs none, and with -tt gives the program one"
        )
    return RawTerminal(STDIN)


def terminal_size(size: os.terminal_size) -> TerminalSize:
    """The terminal for a remote program, of this size and of the type of the local one."""
    from pydantic import ValidationError

    from rpcclient.stubs.programs import TerminalSize

    rows, columns = (min(max(length, 1), MOST_LINES) for length in (size.lines, size.columns))
    try:
        return TerminalSize(rows=rows, columns=columns, term=os.environ.get("TERM") or "xterm-256color")
    except ValidationError:
        return TerminalSize(rows=rows, columns=columns)


def size_of_none() -> TerminalSize:
    """The terminal for a remote program if there is no local one: its size comes from the environment."""
    import shutil  # Few commands need it, and it loads a dozen modules.

    return terminal_size(shutil.get_terminal_size())


async def start_on_terminal(
    client: AsyncClient, argv: Sequence[str], options: StartOptions, terminal: RawTerminal
) -> AsyncProgram[bytes]:
    """Start a program on a terminal like the one here. Little of its output is kept, unless somebody asked for that.
    Little is under way, so that the screen soon shows what the typed keys do."""
    options["terminal"] = terminal_size(terminal.size)
    if options.get("on_disconnect") == "keep" or options.get("retain_s") is not None:
        return await start(client, argv, options, window=KEPT_WINDOW)
    options["retain_bytes"] = TERMINAL_BYTES
    return await start(client, argv, options, window=LITTLE_WINDOW)


async def on_terminal(program: AsyncProgram[bytes], terminal: RawTerminal, *, owns: bool, controls: bool = True) -> int:
    """Connect a program with a pseudo-terminal to the terminal here.

    Returns:
        The exit status.
    """
    from .session import TerminalSession  # It imports asyncio, which commands on many nodes do without.

    session = TerminalSession(program, terminal, owns=owns, controls=controls)
    with terminal:
        status = await session.run()
    session.tell_limit()
    return status


async def in_pipeline(program: AsyncProgram[bytes], *, stdin: bool, owns: bool) -> int:
    """Connect a program to standard input, output and errors here.

    Returns:
        The exit status.
    """
    from .session import Session

    session = Session(program, stdin=stdin, owns=owns)
    status = await session.run()
    session.tell_limit()
    return status


def perform(settings: context.Settings, work: Callable[[AsyncClient], Any], argv: Sequence[str] = ()) -> None:
    """Do something with a connected client, and exit with the status that it returns.

    Parameters:
        settings: how to connect.
        work: takes the client, and returns the status.
        argv: the program that it starts, if it starts one.
    """
    import asyncio

    from rpcclient.stubs.programs import NotController, ProgramNotStarted

    async def main() -> int:
        async with settings.connect_async() as client:
            status: int = await work(client)
            return status

    try:
        status = asyncio.run(main())
    except ProgramNotStarted as exc:
        print(f"rpcclient: {visible_line(exc.message)}", file=sys.stderr)
        status = _not_started(exc)
        if status == NO_SUCH_PROGRAM and (hint := _hint(argv)):
            print(f"  {hint}", file=sys.stderr)
    except NotController as exc:
        id_text = visible_line(str(exc.id))
        print(f"rpcclient: another connection controls {id_text}: --take takes over, --view looks on", file=sys.stderr)
        status = outcome.FAILED
    sys.stdout.flush()
    sys.exit(status)


def _hint(argv: Sequence[str]) -> str:
    """What to write instead of a whole command line in one word; empty if the program's name is none."""
    if not argv or len(argv[0].split()) < 2:
        return ""
    import shlex

    try:
        words = shlex.split(argv[0])
    except ValueError:  # It has a quotation mark without its counterpart.
        words = argv[0].split()
    separate = shlex.join([*words, *argv[1:]])
    in_shell = shlex.join(["sh", "-c", " ".join([argv[0], *map(shlex.quote, argv[1:])])])
    return (
        f"{argv[0]!r} is one word, and so the name of a program: give each argument as a word of its own, as in "
        f"-- {separate}, or let a shell read it: -- {in_shell}"
    )


def _not_started(exc: ProgramNotStarted) -> int:
    return NO_SUCH_PROGRAM if exc.field == "argv" and exc.errno == "ENOENT" else CANNOT_RUN
