"""The commands about the audit log: ``rpcserver audit verify``, ``tail`` and ``search``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from rpcserver.audit.chain import Head, read_head
from rpcserver.audit.files import BrokenLog
from rpcserver.audit.heads import parse_head
from rpcserver.audit.reading import Criteria, Follower, Record, last, select
from rpcserver.audit.reading import search as search_log
from rpcserver.audit.verifying import iterate
from rpcserver.audit.verifying import verify as verify_log
from rpcserver.config import ConfigError, ServerConfig
from rpcwire.logs import printable
from rpcwire.trusted_files import read_file

from .options import config_option
from .reading import read_configuration
from .server_user import load_as_server_user

_FunctionT = TypeVar("_FunctionT", bound=Callable[..., Any])

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
"""The units of times in the past, in seconds."""


@click.group()
def audit() -> None:
    """Read and verify the audit log."""


def _place(function: _FunctionT) -> _FunctionT:
    """Add the options that say where the log is."""
    folder = click.option("--folder", type=click.Path(path_type=Path), help="Folder of the log, if it is another one.")
    return config_option(folder(function))


def _criteria(function: _FunctionT) -> _FunctionT:
    """Add the options that say which lines are shown."""
    options = [
        click.option("--since", default="", help="Not before: 2026-11-29T22:10, or 15m, 2h, 3d ago."),
        click.option("--until", default="", help="Not after: the same forms."),
        click.option("--principal", default="", help="Who has called."),
        click.option("--method", default="", help='Method; "hardware.*" for all that begin so.'),
        click.option("--outcome", default="", help='"ok", "failed", or the type of an error.'),
        click.option("--address", default="", help="Beginning of the client's address."),
        click.option(
            "--event", default="", help="Event, such as completed, received, refused, page, connected, fault."
        ),
        click.option("--text", default="", help="Text in the line."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON, a line for each call."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@audit.command(short_help="Verify the chain.")
@_place
@click.option("--head", "head_text", metavar="SEQ:CHAIN", help="A head that the server's log told: it must be there.")
@click.option("--head-file", type=click.Path(path_type=Path), help="The file of audit.head_file, if it is elsewhere.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def verify(
    config_file: Path | None, folder: Path | None, head_text: str | None, head_file: Path | None, *, as_json: bool
) -> None:
    """Verify the chain, and name the first line that is wrong.

    Without a head from elsewhere, nobody can see whether lines at the end were cut off: give one by --head, by
    --head-file, or have audit.head_file in the configuration. The exit status is 1 if something is wrong.
    """
    with report_failures():
        config = read_configuration(config_file).config if folder else load_as_server_user(config_file)
        report = verify_log(folder or config.audit_path, _known_head(config, folder, head_text, head_file))
    if as_json:
        findings = [{"place": f.place, "seq": f.seq, "text": f.text} for f in report.findings]
        content = {
            "ok": not report.findings,
            "files": report.files,
            "lines": report.lines,
            "first_seq": report.first_seq,
            "head": str(report.head),
            "unsealed": report.unsealed_lines,
            "torn_bytes": report.torn_bytes,
            "findings": findings,
        }
        click.echo(json.dumps(content))
    else:
        for line in iterate(report):
            click.echo(printable(line, 1000))
        state = "the log is NOT as it was written" if report.findings else "the log is whole"
        click.echo(
            f"{state}: {report.lines} lines in {report.files} files, from line {report.first_seq} to {report.head}"
        )
    sys.exit(1 if report.findings else 0)


def _known_head(
    config: ServerConfig, folder: Path | None, head_text: str | None, head_file: Path | None
) -> Head | None:
    if head_text is not None:
        try:
            return read_head(head_text)
        except ValueError as exc:
            raise ConfigError(f"--head: {exc}") from None
    if head_file is None and folder is None and config.audit.head_file:
        head_file = Path(config.audit.head_file)
    return None if head_file is None else parse_head(read_file(head_file))


@audit.command(short_help="Print the last lines.")
@_place
@click.option("-n", "--lines", "count", type=click.IntRange(min=0), default=10, help="How many; 10 by default.")
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines as they come, until Ctrl-C.")
@_criteria
def tail(
    config_file: Path | None, folder: Path | None, count: int, *, follow: bool, as_json: bool, **criteria: str
) -> None:
    """Print the last lines that fit."""
    with report_failures():
        where, conditions = _read_place(config_file, folder), read_criteria(criteria)
        follower = Follower(where)
        print_lines(last(where, count, conditions), as_json=as_json)
        if follow:
            for line in follower.lines():
                print_lines(select(line, conditions), as_json=as_json)


@audit.command(short_help="Print the lines that fit.")
@_place
@_criteria
def search(config_file: Path | None, folder: Path | None, *, as_json: bool, **criteria: str) -> None:
    """Print all lines that fit, the oldest first."""
    with report_failures():
        print_lines(search_log(_read_place(config_file, folder), read_criteria(criteria)), as_json=as_json)


def _read_place(config_file: Path | None, folder: Path | None) -> Path:
    return folder or load_as_server_user(config_file).audit_path


def read_criteria(texts: dict[str, str]) -> Criteria:
    """Read options that say which lines to show.

    Parameters:
        texts: the options by the names of :class:`~rpcserver.audit.reading.Criteria`.

    Raises:
        ConfigError: a time is malformed.
    """
    times = {name: _read_time(name, texts.pop(name)) for name in ("since", "until")}
    return Criteria(**times, **texts)


def _read_time(name: str, text: str) -> str:
    """Write a time as lines have it."""
    if not text:
        return ""
    try:
        if text[-1] in _UNITS and text[:-1].isdecimal():
            time = datetime.now(UTC) - timedelta(seconds=int(text[:-1]) * _UNITS[text[-1]])
        else:
            time = datetime.fromisoformat(text).astimezone(UTC)  # A time without a zone is a local one.
    except (ValueError, OverflowError):
        raise ConfigError(f"--{name}: write 2026-11-29T22:10, or 15m, 2h, 3d for so long ago") from None
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03d}Z"


@contextmanager
def report_failures() -> Iterator[None]:
    """Print an error, and exit with 2."""
    try:
        yield
    except (ConfigError, BrokenLog) as exc:
        click.echo(f"rpcserver: {exc}", err=True)
        sys.exit(2)
    except OSError as exc:
        click.echo(f"rpcserver: {exc.filename}: {exc.strerror}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def print_lines(lines: Iterable[tuple[bytes, Record]], *, as_json: bool) -> None:
    """Print lines of the log.

    Parameters:
        lines: the lines, each with its fields.
        as_json: whether to print them as they are, in place of text for a person.
    """
    for line, record in lines:
        if as_json:
            click.echo(line.decode("ascii", "backslashreplace"))
        else:
            click.echo(describe(record))


def describe(record: Record) -> str:
    """Describe a line for a person, in one line without anything that a terminal obeys.

    Parameters:
        record: its fields.
    """
    client = record.get("client")
    who = client if isinstance(client, dict) else {}
    duration_us = record.get("duration_us")
    parts = [
        _text(record.get("at")),
        f"{_text(record.get('seq')):>6}",
        f"{_text(record.get('event')):12}",
        f"{_text(who.get('principal', '-')):12}",
        f"{_text(who.get('address', '-')):21}",
        _text(record.get("method") or record.get("request") or ""),
        _text(record.get("outcome", "")),
        f"{duration_us / 1000:.1f} ms" if isinstance(duration_us, int) else "",
    ]
    columns = {"seq", "at", "event", "client", "method", "request", "outcome", "duration_us", "chain", "sums", "after"}
    parts += [f"{_text(name)}={_text(value)}" for name, value in record.items() if name not in columns]
    return " ".join(part for part in parts if part)


def _text(value: object) -> str:
    return printable(str(value))
