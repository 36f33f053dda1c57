"""The audit log as files: its chain, how it is verified and read, whatever was done to it."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from rpcserver import Service, method
from rpcserver.audit.calls import MOST_CALLS, Calls, Large, ParamsColumns, read_calls, shorten, write_calls
from rpcserver.audit.chain import ORIGIN, Head, read_head, read_link, seal
from rpcserver.audit.files import name_file
from rpcserver.audit.heads import HEAD_BYTES, format_head, parse_head
from rpcserver.audit.levels import level_of
from rpcserver.audit.lines import Times, quote, quote_raw, write_line
from rpcserver.audit.parameters import choose_writing
from rpcserver.audit.reading import Criteria, Follower, expand, last, parse, search
from rpcserver.audit.strangers import KINDS, LINES, Kind, Strangers, host_of
from rpcserver.audit.verifying import verify
from rpcserver.daemon.audit import describe
from rpcserver.daemon.cli import main as command
from rpcwire.codec import codec_for
from rpcwire.registry import Registry
from rpcwire.values.dynamic import dump_plain

HOSTILE = 'x\r\n{"seq":9}\x1b[2J\u202e\u2028\x7f\x85\ud800"\\'


def write_log(folder: Path, *files: list[list[str]], removed: tuple[int, int] | None = None, first: int = 1) -> Head:
    """Write a log as the server does: files of blocks of events, each file with a first line of its own."""
    folder.mkdir(exist_ok=True)
    seq, chain = first, ORIGIN if first == 1 else "a" * 64
    for blocks in files:
        head = [write_line("2026-11-29T22:10:00.000Z", "file", file=name_file(seq), after=chain)]
        path, data = folder / name_file(seq), b""
        if removed is not None:
            head.append(write_line("2026-11-29T22:10:00.000Z", "removed", first=removed[0], last=removed[1]))
            removed = None
        for block in [
            head,
            *([write_line(f"2026-11-29T22:10:{seq % 60:02}.000Z", e) for e in b] for b in blocks),
        ]:
            lines = [b'{"seq":%d,%b' % (number, line) for number, line in enumerate(block, seq)]
            sealed, chain = seal(chain, lines)
            seq += len(block)
            data += sealed
        path.write_bytes(data)
    return Head(seq - 1, chain)


def change(path: Path, number: int, edit: Callable[[bytes], bytes]) -> None:
    """Edit one line of a file, counted from 1; the edit may remove it or add others."""
    lines = path.read_bytes().splitlines(keepends=True)
    lines[number - 1] = edit(lines[number - 1])
    path.write_bytes(b"".join(lines))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Two files: lines 1 to 6 and 7 to 10."""
    folder = tmp_path / "audit"
    write_log(folder, [["a", "b", "c"], ["d", "e"]], [["f", "g"], ["h"]])
    return folder


FIRST, SECOND = name_file(1), name_file(7)


def findings(folder: Path, known: Head | None = None) -> list[str]:
    return [str(finding) for finding in verify(folder, known).findings]


# --- verifying --------------------------------------------------------------------------------------------------


def test_a_whole_log_is_whole(log: Path) -> None:
    report = verify(log)
    assert (report.findings, report.files, report.lines, report.first_seq) == ([], 2, 10, 1)
    assert (report.head.seq, report.unsealed_lines, report.torn_bytes) == (10, 0, 0)
    assert findings(log, report.head) == []


def test_an_empty_folder_is_a_whole_log(tmp_path: Path) -> None:
    assert verify(tmp_path / "none").head == Head()


@pytest.mark.parametrize("number", range(1, 7))
def test_a_changed_byte_is_named(log: Path, number: int) -> None:
    change(log / FIRST, number, lambda line: line.replace(b"22:10", b"22:11"))
    (finding,) = findings(log)
    assert finding.startswith(f"{FIRST}:{number}: line {number} ")
    assert "was changed" in finding


def test_a_change_with_its_sum_is_seen(log: Path) -> None:
    lines = (log / FIRST).read_bytes().splitlines()
    forged = lines[1].replace(b'"a"', b'"z"')
    from rpcserver.audit.chain import sum_lines

    data = (log / FIRST).read_bytes().replace(lines[1], forged)
    (log / FIRST).write_bytes(data.replace(sum_lines([lines[1]]).encode(), sum_lines([forged]).encode()))
    (finding,) = findings(log)
    assert finding.startswith(f"{FIRST}:4: line 4 (or one of the lines 2 to 3, with its sum) was changed")


@pytest.mark.parametrize("number", range(2, 6))
def test_a_missing_line_is_named(log: Path, number: int) -> None:
    change(log / FIRST, number, lambda _: b"")
    assert findings(log)[0] == f"{FIRST}:{number}: line {number} is missing before line {number + 1}"


def test_an_inserted_line_is_named(log: Path) -> None:
    change(log / FIRST, 3, lambda line: line + line)
    assert findings(log)[0] == f"{FIRST}:4: line 3 stands where line 4 must be: it was inserted or moved"


def test_swapped_lines_are_named(log: Path) -> None:
    lines = (log / FIRST).read_bytes().splitlines(keepends=True)
    lines[1], lines[2] = lines[2], lines[1]
    (log / FIRST).write_bytes(b"".join(lines))
    assert findings(log)[0] == f"{FIRST}:2: line 2 is missing before line 3"


def test_a_line_that_is_none_is_named(log: Path) -> None:
    change(log / SECOND, 2, lambda _: b"not JSON\n")
    assert findings(log)[0].startswith(f"{SECOND}:2: this is no line of an audit log: ")


def test_a_removed_file_is_named(log: Path) -> None:
    (log / FIRST).unlink()
    assert findings(log) == [f"{log}: lines 1 to 6 are missing at the beginning: nothing was removed"]


def test_a_removed_file_in_the_middle_is_named(tmp_path: Path) -> None:
    write_log(tmp_path, [["a"]], [["b"]], [["c"]])
    (tmp_path / name_file(3)).unlink()
    assert findings(tmp_path) == [f"{name_file(5)}:1: lines 3 to 4 are missing before it: a file was removed"]


def test_a_file_that_rotation_removed_is_no_fault(tmp_path: Path) -> None:
    write_log(tmp_path, [["a"]], first=21, removed=(1, 20))
    report = verify(tmp_path)
    assert (report.findings, report.first_seq, report.lines) == ([], 21, 3)
    assert findings(tmp_path, Head(3, "b" * 64)) == []  # A head of long ago: its file is gone.


def test_a_cut_end_is_seen_by_a_known_head(log: Path) -> None:
    known = verify(log).head
    data = (log / SECOND).read_bytes()
    (log / SECOND).write_bytes(data[: data.rstrip().rfind(b"\n") + 1])
    assert findings(log) == []  # Without a head from elsewhere nobody can tell.
    assert findings(log, known) == [f"{log}: the log ends with line 9, and line 10 is known: its end was cut off"]
    (log / SECOND).unlink()
    assert findings(log, known) == [f"{log}: the log ends with line 6, and line 10 is known: its end was cut off"]


def test_a_log_that_was_written_anew_is_seen_by_a_known_head(log: Path, tmp_path: Path) -> None:
    known = verify(log).head
    other = tmp_path / "other"
    write_log(other, [["a", "b", "c"], ["d", "x"]], [["f", "g"], ["h"]])
    assert findings(other) == []
    assert findings(other, known) == [f"{other}: line 10 has not the chain that is known: the log was written anew"]


def test_a_renamed_file_is_named(log: Path) -> None:
    (log / SECOND).rename(log / name_file(8))
    assert findings(log) == [f"{name_file(8)}:1: the file was renamed: it was {SECOND}"]


def test_the_end_may_be_unfinished(log: Path) -> None:
    with (log / SECOND).open("ab") as file:
        file.write(b'{"seq":11,"at":"","event":"x"}\n{"seq":12,"at')
    report = verify(log)
    assert (report.findings, report.unsealed_lines, report.torn_bytes, report.head.seq) == ([], 1, 13, 10)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_of_a_sealed_line_is_seen(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("log")
    event = st.text(max_size=8).map(lambda text: f"_{text}")  # None of those that mean something, such as "cut".
    blocks = data.draw(st.lists(st.lists(event, min_size=1, max_size=4), min_size=1, max_size=4))
    head = write_log(folder, blocks, blocks[:1])
    assert findings(folder, head) == []
    path = data.draw(st.sampled_from(sorted(folder.iterdir())))
    content = path.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    kind = data.draw(st.sampled_from(["flip", "delete", "insert", "cut"]))
    if kind == "flip":
        changed = content[:at] + bytes([content[at] ^ data.draw(st.integers(1, 255))]) + content[at + 1 :]
    elif kind == "delete":
        changed = content[:at] + content[at + data.draw(st.integers(1, 200)) :]
    elif kind == "insert":
        changed = content[:at] + data.draw(st.binary(min_size=1, max_size=40)) + content[at:]
    else:
        changed = content[:at]
    if changed == content:
        return
    path.write_bytes(changed)
    assert findings(folder, head)


# --- texts -------------------------------------------------------------------------------------------------------


@given(st.text())
@settings(max_examples=200)
def test_any_text_becomes_one_harmless_line(text: str) -> None:
    written = quote(text, 10_000)
    assert written.isascii()
    assert written.isprintable()
    assert json.loads(written) == text.encode("utf-8", "replace").decode()


def test_hostile_text_forges_nothing() -> None:
    line = b'{"seq":1,' + write_line("2026-11-29T22:10:00.000Z", HOSTILE, method=HOSTILE, outcome=None)
    assert line.isascii()
    assert line.decode().isprintable()
    record = parse(line)
    assert record is not None
    assert (record["seq"], record["event"]) == (1, HOSTILE.replace("\ud800", "?"))
    assert describe(record).isprintable()


@given(st.dictionaries(st.text(max_size=5), st.none() | st.text(max_size=9) | st.integers(), max_size=4))
@settings(max_examples=50)
def test_a_terminal_gets_no_control_characters_from_any_record(record: dict[str, Any]) -> None:
    assert describe(record).isprintable()


def test_times_have_milliseconds() -> None:
    times = Times()
    times.set(10_000_000_000, 1_764_454_200_000_000_000)
    assert [times.write(10_000_000_000), times.write(10_001_500_000), times.write(70_250_000_000)] == [
        "2025-11-29T22:10:00.000Z",
        "2025-11-29T22:10:00.001Z",
        "2025-11-29T22:11:00.250Z",
    ]


def test_heads_are_read_as_they_are_written() -> None:
    head = Head(12, "ab" * 32)
    assert read_head(str(head)) == head
    content = format_head(head, "2026-11-29T22:10:00.000Z")
    assert len(content) == HEAD_BYTES
    assert parse_head(content) == head
    assert parse_head(b"") is None
    with pytest.raises(ValueError, match="SEQ:CHAIN"):
        read_head("12:zz")


def test_links_of_lines() -> None:
    block, chain = seal(ORIGIN, [b'{"seq":1,"event":"a"}', b'{"seq":2,"event":"b"}'])
    first, second, _ = block.split(b"\n")
    assert (read_link(first).chain, read_link(second).chain) == ("", chain)
    for line in (b"", b"[]", b'{"event":"x"}', b"\xff", b"[" * 5000):
        with pytest.raises(ValueError, match="no JSON object"):
            read_link(line)


def test_levels() -> None:
    levels: dict[str, Any] = {"*": "failures", "rpc.*": "off", "rpc.hello": "all"}
    assert [level_of(name, levels) for name in ("a.b", "rpc.ping", "rpc.hello")] == ["failures", "off", "all"]
    assert level_of("a.b", {}) == "all"


# --- strangers ----------------------------------------------------------------------------------------------------


def test_strangers_get_a_line_for_each_kind_and_are_counted() -> None:
    strangers = Strangers()
    kind = Kind("refused", "203.0.113.7", "", "HTTP 401")
    assert [strangers.note(kind) for _ in range(5)] == [True, False, False, False, False]
    assert list(strangers.report()) == [(kind, 4)]
    assert strangers.is_empty
    own = sum(strangers.note(Kind("refused", f"203.0.113.{n}", "", "HTTP 401")) for n in range(10_000))
    assert own == LINES
    counts = list(strangers.report())
    assert len(counts) <= KINDS + 1
    assert sum(count for _, count in counts) == 10_000 - LINES


@pytest.mark.parametrize(
    ("remote", "host"),
    [
        ("127.0.0.1:41234", "127.0.0.1"),
        ("[::1]:41234", "[::1]"),
        ("unix:uid=1000", "unix:uid=1000"),
        ("203.0.113.7 via 127.0.0.1:41234", "203.0.113.7"),
        ("memory", "memory"),
    ],
)
def test_hosts(remote: str, host: str) -> None:
    assert host_of(remote) == host


# --- parameters ----------------------------------------------------------------------------------------------------


class Safe(Service):
    """Has secrets."""

    @method()
    async def open(self, name: str, data: bytes = b"") -> None:
        """Open."""


def test_parameters_are_hashed_or_shown() -> None:
    registry = Registry(logging.getLogger("t"))
    registry.add(Safe())
    codec = codec_for("rpc.v1.msgpack")
    params = dump_plain({"name": HOSTILE[:-3], "data": b"xyz", "nothing": 1}, codec)
    hashed, redact = choose_writing("hash", registry), choose_writing("redacted", registry)
    assert choose_writing("none", registry) is None
    assert hashed is not None
    assert redact is not None
    assert re.fullmatch("[0-9a-f]{64}", str(hashed("safe.open", params, codec)))
    shown = bytes(redact("safe.open", params, codec))  # type: ignore[arg-type]
    assert shown.isascii()
    assert json.loads(json.loads(shown)) == {"name": HOSTILE[:-3], "data": "3 bytes"}
    by_place = dump_plain(["desk"], codec)
    assert json.loads(json.loads(bytes(redact("safe.open", by_place, codec)))) == {"name": "desk"}  # type: ignore[arg-type]
    for wrong in (dump_plain([1, 2, 3, 4], codec), b"\xc1", b"\x91" * 1000):
        assert redact("safe.open", wrong, codec) == hashed("safe.open", wrong, codec)
    assert redact("no.such", params, codec) == hashed("no.such", params, codec)


# --- reading -----------------------------------------------------------------------------------------------------


def lines_of(*records: dict[str, Any]) -> list[bytes]:
    return [json.dumps({"seq": seq, **record}).encode() for seq, record in enumerate(records, 1)]


def test_search_by_each_criterion(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [
        {"at": "2026-11-29T22:10:00.000Z", "event": "completed", "method": "desk.add", "outcome": "ok",
         "client": {"principal": "ann", "address": "10.0.0.1:5"}},
        {"at": "2026-11-29T22:11:00.000Z", "event": "completed", "method": "desk.ask", "outcome": "Busy",
         "client": {"principal": "bob", "address": "10.0.0.2:5"}},
        {"at": "2026-11-29T22:12:00.000Z", "event": "refused", "outcome": "HTTP 401", "client": {"address": "10.9.0.1:5"}},
        {"at": 5, "client": "odd", "method": 7},
        {"at": "2026-11-29T22:13:00.000Z", "event": "page", "outcome": "HTTP 200", "client": {"address": "10.9.0.1:5"}},
    ]  # fmt: skip
    (tmp_path / name_file(1)).write_bytes(b"\n".join([*lines_of(*records), b"no line", b""]))

    def found(**criteria: str) -> list[int]:
        return [record["seq"] for _, record in search(tmp_path, Criteria(**criteria))]

    assert found() == [1, 2, 3, 4, 5]
    assert found(since="2026-11-29T22:11:00.000Z", until="2026-11-29T22:11:59.000Z") == [2]
    assert found(principal="ann") == [1]
    assert (found(method="desk.*"), found(method="desk.add")) == ([1, 2], [1])
    assert (found(outcome="failed"), found(outcome="ok"), found(outcome="Busy")) == ([2, 3], [1], [2])
    assert found(address="10.0.") == [1, 2]
    assert found(event="refused") == [3]
    assert found(text="Bus") == [2]
    assert [record["seq"] for _, record in last(tmp_path, 2, Criteria(event="completed"))] == [1, 2]
    assert last(tmp_path, 0, Criteria()) == []


def test_a_file_that_rotation_removes_meanwhile(tmp_path: Path) -> None:
    files = [tmp_path / name_file(seq) for seq in (1, 3, 5)]
    for seq, file in zip((1, 3, 5), files, strict=True):
        file.write_bytes(b'{"seq":%d}\n{"seq":%d}\n' % (seq, seq + 1))
    records = search(tmp_path, Criteria())
    seqs = [next(records)[1]["seq"]]
    files[1].unlink()
    assert [*seqs, *(record["seq"] for _, record in records)] == [1, 2, 5, 6]


def test_following_goes_on_from_file_to_file(tmp_path: Path) -> None:
    first, second = tmp_path / name_file(1), tmp_path / name_file(3)
    first.write_bytes(b"old\n")
    follower = Follower(tmp_path)
    assert list(follower.new_lines()) == []
    with first.open("ab") as file:
        file.write(b"one\nhal")
    assert list(follower.new_lines()) == [b"one"]
    with first.open("ab") as file:
        file.write(b"f\n")
    second.write_bytes(b"two\n")
    assert list(follower.new_lines()) == [b"half", b"two"]
    first.unlink()
    with second.open("ab") as file:
        file.write(b"three\n")
    assert list(follower.new_lines()) == [b"three"]


# --- the commands -------------------------------------------------------------------------------------------------


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(command, ["audit", *arguments], env={"RPCSERVER_CONFIG": None})
    return result.exit_code, result.output


def test_the_command_verifies(log: Path) -> None:
    head = verify(log).head
    status, output = run("verify", "--folder", str(log), "--head", str(head))
    assert (status, output) == (0, f"the log is whole: 10 lines in 2 files, from line 1 to {head}\n")
    change(log / FIRST, 3, lambda line: line.replace(b"22:10", b"22:11"))
    status, output = run("verify", "--folder", str(log))
    assert status == 1
    assert output.startswith(f"{FIRST}:3: line 3 was changed\nthe log is NOT as it was written: ")
    status, output = run("verify", "--folder", str(log), "--json")
    assert (status, json.loads(output)["ok"]) == (1, False)
    status, output = run("verify", "--folder", str(log), "--head", "zz")
    assert status == 2
    assert "--head: a head is written SEQ:CHAIN" in output


def test_the_command_reads_the_head_file(log: Path, tmp_path: Path) -> None:
    file = tmp_path / "head"
    file.write_bytes(format_head(Head(99, "c" * 64), "2026-11-29T22:10:00.000Z"))
    file.chmod(0o600)
    config = tmp_path / "rpcserver.toml"
    config.write_text(f'[audit]\nfolder = "{log}"\nhead_file = "{file}"\n')
    config.chmod(0o600)
    status, output = run("verify", "--config", str(config))
    assert status == 1
    assert "the log ends with line 10, and line 99 is known: its end was cut off" in output
    file.write_text("nonsense")
    assert run("verify", "--config", str(config))[0] == 2


def test_the_command_shows_lines(log: Path) -> None:
    status, output = run("tail", "--folder", str(log), "-n", "1", "--json")
    assert (status, json.loads(output)["seq"]) == (0, 10)
    status, output = run("search", "--folder", str(log), "--event", "b", "--since", "2026-11-29T22:10Z")
    assert status == 0
    assert output.split()[:3] == ["2026-11-29T22:10:01.000Z", "3", "b"]
    assert run("search", "--folder", str(log), "--since", "5m", "--until", "1s")[0] == 0
    for text in ("99999999999d", "9" * 5000 + "s", "0001-01-01T00:00+14:00"):
        assert run("search", "--folder", str(log), "--since", text)[0] == 2
    status, output = run("search", "--folder", str(log), "--since", "yesterday")
    assert status == 2
    assert "--since: write 2026-11-29T22:10" in output


# --- calls ---------------------------------------------------------------------------------------------------------

ids = st.integers(-(2**70), 2**70) | st.text(max_size=9) | st.floats(allow_nan=False, allow_infinity=False) | st.none()
notes = st.none() | st.binary(min_size=1, max_size=9) | st.builds(Large, st.integers(129, 10**6), st.just("ab" * 32))


def describe_params(_: str, noted: list[Any]) -> ParamsColumns:
    """As the audit trail does where parameters are hashed."""
    sizes = [0 if note is None else note.size_bytes if isinstance(note, Large) else len(note) for note in noted]
    hashes = [note.value if isinstance(note, Large) else note and sha256(note).hexdigest() for note in noted]
    return shorten(sizes), shorten(hashes) or "", None


Group = tuple[int, int, list[tuple[Any, int, Any]]]
"""The times of the arrival and of the answers of calls, and of each call the id, the size of the result, and what was kept
of the parameters."""


def write_all(groups: list[Group], method: str = "desk.add") -> list[dict[str, Any]]:
    """Write calls in one line, and read what it says."""
    flat = Calls(Raw(b'{"principal":"ann"}'), method, lambda: None)
    times = Times()
    times.set(0, 1_764_454_200_000_000_000)
    for arrived_ns, ended_ns, calls in groups:
        flat += (arrived_ns, ended_ns, *zip(*calls, strict=True))
    line = b'{"seq":7,' + write_calls(flat, quote_raw(method), times, describe_params)
    assert line.isascii()
    assert line.decode().isprintable()
    return [record for _, record in expand(line)]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**9),
            st.integers(0, 10**9),
            st.lists(st.tuples(ids, st.integers(0, 10**6), notes), min_size=1, max_size=3),
        ),
        min_size=1,
        max_size=4,
    ),
    st.text(max_size=9),
)
@settings(max_examples=50)
def test_calls_of_one_line_are_as_if_each_had_its_own(groups: list[Group], method: str) -> None:
    began_ns = 10**9
    groups = [
        (began_ns + ended_ns - min(lasted_ns, ended_ns), began_ns + ended_ns, calls)
        for (lasted_ns, _, calls), ended_ns in zip(groups, sorted(each[1] for each in groups), strict=True)
    ]
    together = write_all(groups, method)
    alone = [
        record
        for arrived_ns, ended_ns, calls in groups
        for call in calls
        for record in write_all([(arrived_ns, ended_ns, [call])], method)
    ]
    assert len(together) == sum(len(calls) for _, _, calls in groups)
    for one, other in zip(together, alone, strict=True):
        assert abs(datetime.fromisoformat(one.pop("at")) - datetime.fromisoformat(other.pop("at"))) < timedelta(
            milliseconds=2
        )  # The first call's time was cut to a millisecond, and the others are told from it.
        size = (one.pop("received_bytes", 0), one.pop("sent_bytes", 0))
        assert size == (other.pop("received_bytes", 0), other.pop("sent_bytes", 0))
        assert one == other


def test_what_all_calls_of_a_line_have_is_written_once() -> None:
    for size, most_bytes in ((1, 20), (16, 7)):
        flat = Calls(Raw(b"{}"), "desk.add", lambda: None)
        for number in range(0, MOST_CALLS, size):
            group_ids = range(number, number + size)
            flat += (10**9, 10**9 + number, group_ids, [1] * size, [b"\x92\x01\x02"] * size)
        line = write_calls(flat, quote_raw("desk.add"), Times(), describe_params)
        assert line.count(sha256(b"\x92\x01\x02").hexdigest().encode()) == line.count(b'"desk.add"') == 1
        assert len(line) < most_bytes * MOST_CALLS


@pytest.mark.parametrize(
    "change",
    [
        {"calls": 3}, {"calls": 10**12}, {"calls": True}, {"calls": "2"}, {"call": [1]}, {"after_ns": [0, -1]},
        {"after_ns": [0, 10**30]}, {"duration_ns": [0, "1"]}, {"duration_ns": 5}, {"at": "yesterday"}, {"at": None},
        {"at": "9999-12-31T23:59:59.999Z"}, {"x": [[]]}, {"groups": [2]}, {"groups": [1, True]}, {"groups": [3, -1]},
        {"groups": 2}, {"groups": None}, {"groups": [2, 0]}, {"groups": [1, 1, 0], "after_ns": [0, 1, 2]},
        {"groups": [10**12], "calls": 10**12, "call": 1, "after_ns": [0], "duration_ns": [1]},
    ],
    ids=str,
)  # fmt: skip
def test_a_forged_line_about_calls_is_shown_as_it_is(change: dict[str, Any]) -> None:
    record = {
        "seq": 1, "at": "2026-11-29T22:10:00.000Z", "calls": 2, "call": [1, 2], "after_ns": [0, 9], "duration_ns": [4, 5],
    }  # fmt: skip
    assert len(read_calls(record)) == 2
    line = json.dumps({**record, **change}).encode()
    assert expand(line) == [(line, {**record, **change})]


def test_what_calls_have_that_were_answered_together_is_written_once() -> None:
    record = {
        "seq": 1, "at": "2026-11-29T22:10:00.000Z", "calls": 3, "call": [1, 2, 3], "groups": [2, 1],
        "after_ns": [0, 5_000_000], "duration_ns": [4000, 6000],
    }  # fmt: skip
    assert [(each["call"], each["at"][-4:], each["duration_us"]) for each in read_calls(record)] == [
        (1, "000Z", 4), (2, "000Z", 4), (3, "005Z", 6),
    ]  # fmt: skip
    assert "groups" not in read_calls(record)[0]


def test_calls_of_one_line_are_found_apart(tmp_path: Path) -> None:
    record = {
        "seq": 1, "at": "2026-11-29T22:10:00.999Z", "event": "completed", "method": "desk.add", "calls": 3,
        "call": [4, "\x7f\u202e", 6], "after_ns": [0, 1_000_000, 60_000_000_000], "duration_ns": [4000, 5000, 6999],
        "params_sha256": ["aa", None, "cc"], "outcome": "ok", "sums": "", "chain": "0" * 64,
    }  # fmt: skip
    (tmp_path / name_file(1)).write_bytes(json.dumps(record).encode() + b'\n{"seq":2}\n{"seq":3')

    def found(**criteria: str) -> list[object]:
        return [each.get("call") for _, each in search(tmp_path, Criteria(**criteria))]

    assert found() == [4, "\x7f\u202e", 6, None]
    assert found(since="2026-11-29T22:10:01.000Z", until="2026-11-29T22:11:00.000Z") == ["\x7f\u202e"]
    assert found(text='"cc"') == [6]
    for line, each in search(tmp_path, Criteria()):
        assert line.decode("ascii").isprintable()
        assert json.loads(line) == each
    second = [each for _, each in search(tmp_path, Criteria())][1]
    assert (second["at"], second["duration_us"]) == ("2026-11-29T22:10:01.000Z", 5)
    assert not {"calls", "after_ns", "duration_ns", "chain", "sums", "params_sha256"} & second.keys()
    assert [each.get("call") for _, each in last(tmp_path, 2, Criteria())] == [6, None]
    assert len(last(tmp_path, 9, Criteria())) == 4
