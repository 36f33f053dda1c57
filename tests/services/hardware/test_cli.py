"""`rpcclient hw`, `devices` and `top`: on a real terminal, against a real server."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NoReturn

import pexpect
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpcclient import Client
from rpcclient.cli.figures import bar, duration, percent, size, sparkline
from rpcclient.cli.hw import lines
from rpcclient.cli.keys import decode
from rpcclient.cli.top_columns import columns, width_of
from rpcclient.cli.top_screen import _cores, draw
from rpcclient.cli.top_state import SORTS, TopState
from rpcclient.cli.top_tree import tree
from rpcclient.stubs.hardware import (
    Battery,
    CpuCore,
    DiskIo,
    Disks,
    Gpu,
    Gpus,
    Memory,
    Process,
    ProcessList,
    ProcessSort,
    Snapshot,
    Swap,
)

RPCCLIENT = [sys.executable, "-W", "error", "-m", "rpcclient"]


@pytest.fixture
def environment(served: tuple[str, Path]) -> dict[str, str]:
    url, token_file = served
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RPC_", "COLUMNS", "LINES"))}
    return {**kept, "RPC_URL": url, "RPC_TOKEN_FILE": str(token_file), "TERM": "xterm-256color"}


def run(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RPCCLIENT, *words], capture_output=True, text=True, env=environment, timeout=60)


def on_terminal(environment: dict[str, str], *words: str) -> str:
    output, status = pexpect.run(
        " ".join([*RPCCLIENT, *words]),
        env=environment,
        withexitstatus=True,
        timeout=60,
        encoding="utf-8",
        dimensions=(40, 110),
    )
    assert status == 0, output
    return str(output)


def test_hw(environment: dict[str, str]) -> None:
    shown = on_terminal(environment, "hw")
    assert os.uname().nodename in shown
    assert "processors" in shown
    assert "memory" in shown
    assert len(shown.splitlines()) < 40
    assert json.loads(run(environment, "hw").stdout)["memory"]["total_bytes"] == psutil.virtual_memory().total


def test_devices(environment: dict[str, str]) -> None:
    assert " lo " in on_terminal(environment, "devices", "net")
    listed = json.loads(run(environment, "devices", "net", "block").stdout)
    assert {d["subsystem"] for d in listed} == {"net", "block"}
    assert json.loads(run(environment, "devices", "net,block").stdout) == listed
    assert json.loads(on_terminal(environment, "devices", "--json", "net"))
    assert json.loads(on_terminal(environment, "hw", "--json"))["memory"]
    assert "gpu is drm here" in run(environment, "devices", "gpu").stderr
    assert "serial is tty here" in run(environment, "devices", "serial").stderr
    wrong = run(environment, "devices", "engine")
    assert (wrong.returncode, "there are: pci" in wrong.stderr) == (2, True)


def test_devices_that_come_and_go(environment: dict[str, str], missing: Callable[[str], NoReturn]) -> None:
    name = f"rpccli{os.getpid() % 10_000}"
    child = pexpect.spawn(
        RPCCLIENT[0], [*RPCCLIENT[1:], "devices", "--watch", "net"], env=environment, encoding="utf-8", timeout=30
    )
    child.expect(" lo ")
    for kind in ("dummy", "bridge", "ifb"):
        made = subprocess.run(["ip", "link", "add", name, "type", kind], capture_output=True, text=True)
        if made.returncode == 0:
            break
    else:
        missing(f"no network interface can be made here: {made.stderr.strip()}")
    child.expect(rf"\+ net  {name}")
    subprocess.run(["ip", "link", "set", name, "mtu", "1400", "up"], check=True)
    Path(f"/sys/class/net/{name}/uevent").write_text("change")
    child.expect(rf"~ net  {name} .*mtu: 1500 → 1400")
    subprocess.run(["ip", "link", "del", name], check=True)
    child.expect(rf"- net  {name}")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130


@pytest.fixture
def top(environment: dict[str, str]) -> Iterator[Any]:
    child = pexpect.spawn(
        RPCCLIENT[0],
        [*RPCCLIENT[1:], "top", "--interval", "0.3"],
        env=environment,
        encoding="utf-8",
        timeout=30,
        dimensions=(30, 100),
    )
    yield child
    child.close(force=True)


def gone(child: Any) -> None:
    """It has ended well, and the terminal is as before."""
    child.expect(re.escape("\x1b[?1049l"))
    child.expect(pexpect.EOF)
    child.close()
    assert (child.exitstatus, child.signalstatus) == (0, None)


def test_top_shows_and_quits(top: Any) -> None:
    top.expect(re.escape("\x1b[?1049h"))
    top.expect("processes")
    top.expect("cpu ")
    top.expect("PID")
    top.send("h")
    top.expect("any key goes on")
    top.send("x")
    top.send("M")
    top.expect("sorted by RSS")
    top.send("N")
    top.expect("sorted by PID")
    top.send("I")
    top.expect("↑")
    top.send("q")
    gone(top)


def test_top_quits_on_an_interrupt(top: Any) -> None:
    top.expect("processes")
    top.sendintr()
    gone(top)


def test_top_follows_the_terminals_size(top: Any) -> None:
    top.expect("F10 quit")
    top.setwinsize(12, 40)
    os.kill(top.pid, signal.SIGWINCH)
    # The title bar is drawn as wide as the terminal: 40 characters, and nothing after them.
    # Of the columns there are as many as leave room for names.
    top.expect(re.compile(r"PID +CPU% +MEM% NAME(\x1b\[[0-9;]*m)*   sorted by CP(\x1b\[[0-9;]*m)*\r\n"))
    top.send("q")
    gone(top)


def test_top_is_suspended_and_goes_on(top: Any) -> None:
    """The terminal is the shell's meanwhile. Ctrl-Z discards nothing of what is on its way to the screen."""
    top.expect("F10 quit")
    assert termios.tcgetattr(top.child_fd)[3] & termios.NOFLSH
    top.send("\x1a")
    top.expect(re.escape("\x1b[?1049l"))
    while psutil.Process(top.pid).status() != psutil.STATUS_STOPPED:
        pass
    modes = termios.tcgetattr(top.child_fd)[3]
    assert modes & termios.ICANON
    assert not modes & termios.NOFLSH
    os.kill(top.pid, signal.SIGCONT)
    top.expect(re.escape("\x1b[?1049h"))
    top.expect("F10 quit")
    top.send("q")
    gone(top)


def test_top_ends_a_process(top: Any) -> None:
    name = "rpc-top-victim"
    with subprocess.Popen(
        ["bash", "-c", f'exec -a {name} "{sys.executable}" -c "import sys; print(flush=True); sys.stdin.read()"'],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as victim:
        assert victim.stdout is not None
        victim.stdout.readline()
        top.expect("processes")
        top.send("c/")
        top.expect("show only")
        top.send(f"{name}\r")
        top.expect(f"{victim.pid} ")
        top.send("k")
        top.expect("y or Enter ends it")
        top.send("y")
        top.expect("TERM was sent")
        assert victim.wait(20) == -signal.SIGTERM
    top.send("\x1b[21~")
    gone(top)


def test_top_needs_a_terminal(environment: dict[str, str]) -> None:
    done = run(environment, "top")
    assert done.returncode == 2
    assert "needs a terminal" in done.stderr


# Without a terminal.


@pytest.mark.parametrize("kind", ["dumb", "unknown"])
def test_top_says_that_it_cannot_draw_on_a_terminal(environment: dict[str, str], kind: str) -> None:
    output, status = pexpect.run(
        " ".join([*RPCCLIENT, "top"]), env={**environment, "TERM": kind}, withexitstatus=True, timeout=60,
        encoding="utf-8",
    )  # fmt: skip
    assert status == 2
    assert f"(TERM is {kind})" in " ".join(str(output).split())
    assert "\x1b[?1049h" not in output


@pytest.mark.parametrize("sort", [sort for _, sort in SORTS])
def test_columns_leave_room_for_names(sort: ProcessSort) -> None:
    for width in range(20, 201):
        found = columns(width, sort)
        titles = [column.title for column in found]
        assert titles[0] == "PID"
        assert width - width_of(found) >= min(24, width * 3 // 8) or len(found) == 1, width
        if width >= 100:
            assert {"USER", "NI", "S", "CPU%", "MEM%", "RSS", "THR"} <= set(titles)
        if width >= 40:
            assert "CPU%" in titles
            assert sort == "name" or any(sort in column.sort for column in found)


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_names_and_memory_are_seen_at_every_width(width: int) -> None:
    state = TopState(process_list=processes())
    state.add_sample(machine_of(10_000))
    first = state.place(1)[0]
    state.process_list = state.process_list.model_copy(
        update={"processes": [first.model_copy(update={"rss_bytes": 1234})]}
    )
    (row,) = [line.plain for line in draw(state, width, 24) if re.match(r" +1 ", line.plain)]
    assert row[width_of(columns(width, state.sort)) :].rstrip() == "p1"
    assert " 12.3 " in row


def machine_of(memory_bytes: int, swap_bytes: int = 0) -> Snapshot:
    swap = Swap(
        total_bytes=swap_bytes, used_bytes=swap_bytes // 4, free_bytes=swap_bytes - swap_bytes // 4, percent=25.0,
        sin_bytes=0, sout_bytes=0, sin_bytes_per_s=None, sout_bytes_per_s=None,
    )  # fmt: skip
    memory = Memory(
        total_bytes=memory_bytes, available_bytes=memory_bytes, used_bytes=0, free_bytes=0, percent=0.0, swap=swap
    )
    return Snapshot(t_mono_s=0.0, t_wall_s=0.0, dt_s=None, memory=memory)


@pytest.mark.parametrize(("bytes_", "said"), [(0, "none"), (4 * 2**30, "1.0 GiB of 4.0 GiB")])
def test_swap_is_shown(bytes_: int, said: str) -> None:
    state = TopState()
    state.add_sample(machine_of(2**33, bytes_))
    (line,) = [line.plain for line in draw(state, 80, 24) if line.plain.startswith("swap ")]
    assert line.endswith(said)


def test_command_lines_are_moved() -> None:
    words = ["program", *(f"--option-{n}" for n in range(30))]
    state = TopState(process_list=processes(), command_lines=True)
    state.process_list = state.process_list.model_copy(
        update={"processes": [state.process_list.processes[0].model_copy(update={"cmdline": words})]}
    )

    def row() -> str:
        (found,) = [line.plain for line in draw(state, 80, 24) if re.match(r" +1 ", line.plain)]
        return found[width_of(columns(80, state.sort)) :].rstrip()

    line, here = " ".join(words), len(row())
    assert row() == line[:here]
    for _ in range(5):
        state.key("right")
    assert row() == line[40 : 40 + here].rstrip()
    for _ in range(6):
        state.key("left")
    assert (state.shift, row()) == (0, line[:here])
    assert decode(b"\x1b[C\x1b[D\x1bOC\x1bOD\x1b[15~") == ["right", "left", "right", "left", "f5"]


FAMILY = [(4, 2), (3, 1), (1, 0), (2, 1), (5, 2), (9, 8), (7, 7)]
"""Processes and their parents; 0 and 8 are not in the list, and 7 says that it is its own."""


def test_the_tree() -> None:
    made = [
        process.model_copy(update={"pid": pid, "ppid": ppid, "name": f"p{pid}"})
        for (pid, ppid), process in zip(FAMILY, processes().processes, strict=False)
    ]
    state = TopState(process_list=processes().model_copy(update={"processes": made}))
    state.key("t")
    rows = [line.plain for line in draw(state, 80, 30) if re.match(r" +\d+ ", line.plain)]
    assert [row[width_of(columns(80, state.sort)) :].rstrip() for row in rows] == [
        "p1", "├─ p3", "└─ p2", "   ├─ p4", "   └─ p5", "p9", "p7",
    ]  # fmt: skip
    state.key("f5")
    assert [process.pid for process in state.processes_to_show] == [pid for pid, _ in FAMILY]


@given(
    st.lists(st.tuples(st.integers(0, 12), st.one_of(st.none(), st.integers(0, 12))), unique_by=lambda each: each[0])
)
def test_any_tree_has_every_process_once(family: list[tuple[int, int | None]]) -> None:
    """Also where some are their own ancestors, as a list may have it that is not read in one moment."""
    listed = [Process(pid=pid, ppid=ppid, create_time=1.0) for pid, ppid in family]
    assert sorted(process.pid for _, process in tree(listed)) == sorted(pid for pid, _ in family)


def test_a_long_chain_of_processes() -> None:
    listed = [Process(pid=n, ppid=n - 1, create_time=1.0) for n in range(1, 3000)]
    assert [process.pid for _, process in tree(listed)] == list(range(1, 3000))


def test_figures() -> None:
    assert [size(n) for n in (0, 1023, 1536, 5 * 2**30, 200 * 2**20, None)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "5.0 GiB",
        "200 MiB",
        "–",
    ]
    assert [percent(12.345), percent(None)] == ["12.3 %", "–"]
    assert [bar(0, 4), bar(50, 4), bar(100, 4), bar(None, 4)] == ["····", "██··", "████", "····"]
    assert sparkline([0.0, 50.0, None, 100.0], 5, 100.0) == "  ▄ █"
    assert [duration(3661), duration(90061), duration(None)] == ["01:01:01", "1 d 01:01", "–"]


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e12)), max_size=40), st.integers(0, 30), st.floats(0, 200))
def test_bars_and_lines_have_their_width(values: list[float | None], width: int, share: float) -> None:
    assert len(sparkline(values, width)) == max(width, 0)
    assert len(bar(share, width)) == width


def test_keys() -> None:
    assert decode(b"q\x1b[A\x1bOB\x1b[5~\x1b[21~\r\x7f") == ["q", "up", "down", "pageup", "f10", "enter", "backspace"]
    assert decode("é\x1b[1;5Cx\x1b".encode()) == ["é", "x", "escape"]
    # The Linux console, on which F2 does nothing here; rxvt; and xterm where a program has asked for these.
    assert decode(b"\x1b[[A\x1b[[B\x1b[[C\x1b[[D\x1b[[E") == ["f1", "f3", "f4", "f5"]
    assert decode(b"\x1b[7~\x1b[8~\x1bOH\x1bOF") == ["home", "end", "home", "end"]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "iso8859-15", "euc_jp", "shift_jis", "gb18030"])
def test_letters_are_those_of_the_locale(encoding: str) -> None:
    """And no key behind one is taken for a part of it."""
    typed = "/東京q" if encoding in ("euc_jp", "shift_jis", "gb18030") else "/üßq"
    assert decode(typed.encode(encoding) + b"\r", encoding) == [*typed, "enter"]
    assert decode(b"\xffqq", "ascii") == ["\N{REPLACEMENT CHARACTER}", "q", "q"]


@given(st.binary(max_size=30))
def test_any_keys(data: bytes) -> None:
    state = TopState(process_list=processes())
    for key in decode(data):
        state.key(key)
    draw(state, 80, 24)


def processes() -> ProcessList:
    made = [
        Process(
            pid=n, create_time=1000.0 + n, name=f"p{n}", cmdline=["run", "\x1b[31mred\n"], cpu_percent=float(n), nice=0
        )
        for n in range(1, 60)
    ]
    return ProcessList(t_mono_s=0.0, t_wall_s=time.time(), dt_s=1.0, total=59, running=1, processes=made)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 60), (40, 10), (10, 4), (1, 1)])
def test_every_screen_fits(width: int, height: int) -> None:
    state = TopState(process_list=processes(), command_lines=True)
    state.add_sample(Snapshot(t_mono_s=0.0, t_wall_s=0.0, dt_s=None))
    for key in ("end", "h", "h", "/", "p", "enter", "k", "n"):
        state.key(key)
        drawn = draw(state, width, height)
        assert len(drawn) <= height
        for line in drawn:
            assert line.cell_len <= width
            assert "\x1b" not in line.plain  # A process cannot paint the terminal.


def test_hw_leaves_out_what_is_not_known(environment: dict[str, str]) -> None:
    with Client(environment["RPC_URL"], token_file=environment["RPC_TOKEN_FILE"]) as client:
        found = client.hardware.snapshot()
    assert found.cpu is not None
    unknown = ("model", "load_1m", "load_5m", "load_15m", "frequency_mhz", "percent")
    changes: dict[str, Any] = {
        "cpu": found.cpu.model_copy(update=dict.fromkeys(unknown)),
        "battery": Battery(present=True, percent=None, power_plugged=None, secsleft=None),
        "gpus": Gpus(gpus=[Gpu(**dict.fromkeys(Gpu.model_fields) | {"index": 0, "vendor": "amd", "reasons": {}})]),
    }
    shown = list(lines(found.model_copy(update=changes), []))
    assert not [line for line in shown if "None" in line[1] or line[1].strip() in ("", "load")]
    said = dict(shown)
    assert said["processors"].endswith(f" {found.cpu.logical}")
    assert said["battery"].endswith("–")
    assert "amd, " in said["gpu"]


def test_disks_count_once() -> None:
    def io(name: str, kind: Literal["disk", "partition", "virtual"]) -> DiskIo:
        return DiskIo(
            name=name, kind=kind, read_count=1, write_count=1, read_bytes=1, write_bytes=1, busy_time_ms=1,
            read_count_per_s=1.0, write_count_per_s=1.0, read_bytes_per_s=1e6, write_bytes_per_s=2e6, busy_percent=1.0,
        )  # fmt: skip

    state = TopState()
    all_of = [io("sda", "disk"), io("sda1", "partition"), io("dm-0", "virtual"), io("sdb", "disk")]
    state.add_sample(Snapshot(t_mono_s=0.0, t_wall_s=0.0, dt_s=1.0, disks=Disks(filesystems=[], io=all_of)))
    assert (list(state.read_rates), list(state.write_rates)) == ([2e6], [4e6])


def test_the_selection_stays_with_its_process() -> None:
    state = TopState(process_list=processes())
    state.place(10)
    state.key("down")
    chosen = state.under
    assert chosen == (2, 1002.0)
    listed = processes()
    others = [p for p in listed.processes if p.pid != 2]
    state.add_list(listed.model_copy(update={"processes": [*others[:40], listed.processes[1], *others[40:]]}))
    state.key("f9")  # Before the new list is drawn, too.
    assert state.asking is not None
    assert state.asking.pid == 2
    state.key("n")
    assert any(p.pid == 2 for p in state.place(10))
    assert (state.selected_row, state.under) == (40, chosen)
    state.add_list(listed.model_copy(update={"processes": others}))
    state.key("f8")
    assert (state.requests, state.message) == ([], "the selected process has ended")
    assert state.place(10)[state.selected_row - state.offset].pid == 42
    state.key("home")
    state.add_list(listed.model_copy(update={"processes": others[::-1]}))
    state.place(10)
    assert (state.selected_row, state.under) == (0, (59, 1059.0))


def test_priorities_that_were_asked_for_are_forgotten_in_time() -> None:
    state = TopState(process_list=processes())
    state.place(10)
    state.key("f8")
    for _ in range(4):
        state.add_list(processes())
    state.key("f8")
    assert [r.nice for r in state.requests] == [1, 1]


def test_only_one_users_processes() -> None:
    listed = processes()
    some = [p.model_copy(update={"username": "ada" if p.pid % 2 else "bob"}) for p in listed.processes]
    state = TopState(process_list=listed.model_copy(update={"processes": some}))
    for key in "uad":
        state.key(key)
    state.key("enter")
    assert {p.username for p in state.processes_to_show} == {"ada"}
    state.key("escape")
    assert len(state.processes_to_show) == 59


@pytest.mark.parametrize("height", [4, 6, 8, 24])
def test_a_low_screen_shows_processes(environment: dict[str, str], height: int) -> None:
    with Client(environment["RPC_URL"], token_file=environment["RPC_TOKEN_FILE"]) as client:
        state = TopState(process_list=processes(), snapshot=client.hardware.snapshot())
    rows = [line.plain for line in draw(state, 80, height) if re.match(r" +\d+ ", line.plain)]
    assert len(rows) >= min(height - 2, 4)


@pytest.mark.parametrize("width", [60, 80, 100, 112, 200])
def test_figures_of_meters_are_whole(environment: dict[str, str], width: int) -> None:
    with Client(environment["RPC_URL"], token_file=environment["RPC_TOKEN_FILE"]) as client:
        found = client.hardware.snapshot()
    assert found.cpu is not None
    assert found.memory is not None
    loud = found.cpu.model_copy(update={"load_1m": 123.45, "load_5m": 67.89, "load_15m": 26.3})
    state = TopState(process_list=processes())
    for _ in range(300):
        state.add_sample(found.model_copy(update={"cpu": loud}))
    lines = [line.plain for line in draw(state, width, 30)]
    assert any(line.endswith("load 123.45 67.89 26.30") for line in lines)
    assert any(line.endswith(f"of {size(found.memory.total_bytes)}") for line in lines)


def test_selection_filter_and_order() -> None:
    state = TopState(process_list=processes())
    state.place(10)
    for key in ("down", "down", "pagedown", "up"):
        state.key(key)
    assert (state.selected_row, len(state.place(10))) == (11, 10)
    assert state.processes_to_show[state.selected_row] in state.place(10)
    state.key("f8")
    state.key("f9")
    state.key("y")
    assert [(r.action, r.process.pid, r.nice) for r in state.requests] == [("nice", 12, 1), ("terminate", 12, 0)]
    for key in ("f8", "f8", "f7", "f7", "f7"):  # Before a new list comes.
        state.key(key)
    assert [r.nice for r in state.requests[2:]] == [2, 3, 2, 1, 0]
    state.forget_nice(state.requests[-1].process)
    state.key("f8")
    assert state.requests[-1].nice == 1
    for key in "/p59":
        state.key(key)
    state.key("enter")
    assert [p.pid for p in state.processes_to_show] == [59]
    assert state.place(10)[0].pid == 59
    state.key("escape")
    assert len(state.processes_to_show) == 59
    for key in (">", ">", "<"):
        state.key(key)
    assert state.sort == "memory_percent"
    state.key("q")
    assert state.done


@pytest.mark.parametrize("last", [70, 145, 146, 1023])
def test_processors_that_have_no_room_are_told(last: int) -> None:
    """At 80 columns two lines hold 146 of them, by their numbers."""
    cores = [
        CpuCore(cpu=n, online=True, percent=99.0, frequency_mhz=None, times=None, reasons={}) for n in (0, 1, last)
    ]
    shown = "".join(line.plain[5:] for line in _cores(cores, 80))
    assert ("…" in shown) == (last > 145)
    assert len(shown) == min(last + 1, 146)
