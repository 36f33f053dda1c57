"""The group of commands. Each is loaded when it is used, so that starting costs little."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from rpcwire.limits import LONGEST_S

from . import outcome, standard
from .context import Settings
from .many.options import NAMES, complete_node

COMMANDS = {
    "attach": "come back to a program that runs there",
    "call": "call a method",
    "completion": "print the script for completion in a shell",
    "console": "sign a browser in, for one minute and once",
    "devices": "list the devices of the machine, and follow them",
    "events": "follow events of services, here and on many nodes",
    "forget": "free what is kept of programs that have ended",
    "hello": "who the server is, and who it takes you for",
    "hw": "the machine on one screen",
    "kill": "end programs there, or send them a signal",
    "lease": "run a command here while holding a lease of the group",
    "logs": "what a program there has written",
    "nodes": "the nodes of the group, and watch them",
    "ping": "how long the way there and back takes",
    "ps": "the programs that run there",
    "run": "run a program there as if it were here",
    "services": "what the server offers",
    "shell": "a shell there, or a program on a terminal",
    "sql": "run SQL in a database, or ask for it",
    "top": "watch the machine and its processes",
}
"""The commands, each in the module of its name in this package, and what they do."""

_EPILOG = "Exit status: " + "; ".join(f"{status} {meaning}" for status, meaning in outcome.MEANINGS.items()) + "."


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands by name."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One command; ``None`` where there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"{__package__}.{cmd_name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names. Where there is none of this name, the error names those like it."""
        name = args[0]
        if name in COMMANDS or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        import difflib  # Only for errors.

        alike = difflib.get_close_matches(name, COMMANDS)
        if alike:
            remedy = f"did you mean {' or '.join(alike)}?"
        elif "." in name:
            remedy = f"to call a method, write: rpcclient call {name}"
        else:
            remedy = "rpcclient --help lists them"
        raise click.UsageError(f"No such command {name!r}: {remedy}", ctx)

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run what the command line says, with standard streams that wait, and leave the terminal as it was."""
        if "_RPCCLIENT_COMPLETE" in os.environ:
            from . import bash

            bash.register()
        with standard.take_over():
            try:
                try:
                    return super().main(*args, **extra)
                finally:
                    sys.stdout.flush()
            except OSError as exc:
                status = standard.report_failure(exc)
                cause = exc.__context__
                sys.exit(cause.code if isinstance(cause, SystemExit) and not status else status)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options of this group. Where one of the command stands before it, say where it goes."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as exc:
            name = exc.option_name
            if name not in NAMES:
                raise
            message = f"No such option {name!r} here: it goes behind the command: rpcclient run {name} ..."
            raise click.UsageError(message, exc.ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Where an option of this group stands behind it, say where it goes."""
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as exc:
            name = exc.option_name
            if not any(name in param.opts for param in self.params):
                raise
            message = f"No such option {name!r} here: it goes before the command: rpcclient {name} ..."
            raise click.UsageError(message, exc.ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.group(cls=LazyGroup, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--url", metavar="URL", help="ws://HOST:PORT, wss://HOST:PORT or unix:///PATH; else RPC_URL, else local.")
@click.option("--token-file", metavar="FILE", help="File with the token; else RPC_TOKEN, RPC_TOKEN_FILE, else local.")
@click.option("--token-by", type=click.Choice(["header", "call"]), help="How the token is sent; else RPC_TOKEN_BY.")
@click.option("--ca-file", metavar="FILE", help="Authorities to trust for wss://; else RPC_CA_FILE, else the system's.")
@click.option("--cert-file", metavar="FILE", help="Certificate of your own for wss://; else RPC_CERT_FILE.")
@click.option("--key-file", metavar="FILE", help="Its key, opened by RPC_KEY_PASSWORD if encrypted; else RPC_KEY_FILE.")
@click.option("--server-hostname", metavar="NAME", help="What the server's certificate must show; else the URL's host.")
@click.option(
    "--header", "headers", metavar="HEADER", multiple=True, help="'Name: value' to send, too; else RPC_HEADERS."
)
@click.option("--proxy", metavar="URL", help="http://, socks5h:// or the like, or none; else RPC_PROXY, HTTPS_PROXY.")
@click.option(
    "--allow-token-in-clear",
    is_flag=True,
    default=None,
    help="Send the token also where neither TLS nor the kernel says who gets it; else RPC_ALLOW_TOKEN_IN_CLEAR.",
)
@click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    help="Deadline of each call.",
)
@click.option(
    "--ping-interval",
    "ping_interval_s",
    metavar="SECONDS",
    type=click.FloatRange(min=0, max=LONGEST_S),
    default=20.0,
    show_default=True,
    help="Silence after which to ping; 0 for no pings.",
)
@click.option(
    "--ping-timeout",
    "ping_timeout_s",
    metavar="SECONDS",
    default=20.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True, max=LONGEST_S),
    help="How long a ping may stay unanswered.",
)
@click.option(
    "--node",
    metavar="NODE",
    shell_complete=complete_node,
    help="Name or id of a node of the group: go there, through the server.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, also on a terminal.")
@click.version_option(package_name="remote-services")
@click.pass_context
def main(ctx: click.Context, /, **options: Any) -> None:
    """Call the services of another computer."""
    ctx.obj = Settings(**options)
