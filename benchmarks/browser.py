"""The client for browsers and the console beside their peers, in one Chromium.

    python -m benchmarks.browser [calls] [stream] [load] [terminal] [--rounds 5] [--megabytes 100] [--folder PLACE]

`calls`: 64 calls in flight from a page, beside rpc-websockets (its own server in Node) and the acknowledgements of
socket.io (its own server in Node); our server is `rpcserver serve` with the service of `calc.py`.
`stream`: 100,000 small items to a page, beside events of socket.io.
`load`: the first load of the console in a browser without a cache, at a quarter of the processor's speed.
`terminal`: 100 MB of `yes` in the console's terminal, beside ttyd; how soon the page answers keys meanwhile, and how
much larger the tab is after it.

Each round measures every contender once, so that what else the machine does hits all of them. Figures are medians over
the rounds, with the least and the most; ratios are those of each round. The peers are set up in a temporary folder, or
in PLACE, which is kept. Chromium has to be installed (Debian: `chromium`).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.web.browser import Browser, Page, PageServer

from .browser_figures import Options, spread
from .browser_load import measure_load
from .browser_peers import install_libraries, run_node_server, run_our_server
from .browser_terminal import measure_terminals

CALLS_MS = 1000
ITEMS = 100_000


@dataclass(frozen=True, slots=True)
class Figure:
    """What one contender has done in one round.

    Attributes:
        rate: how many a second.
        processor_us: the processor time of browser and server for each, in microseconds. What else the machine does
            changes it little.
    """

    rate: float
    processor_us: float


Rounds = Mapping[str, Sequence[Figure]]
"""The figures of each contender, one for each round."""


@contextmanager
def open_contenders(folder: Path) -> Iterator[dict[str, Page]]:
    """Open a page for each library, in one browser, connected with its server.

    Parameters:
        folder: where the libraries are.
    """
    with ExitStack() as stack:
        pages = PageServer(folder / "pages")
        stack.callback(pages.close)
        state = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        plugin = ["--plugin", str(Path(__file__).parent / "calc.py")]
        url, token = stack.enter_context(run_our_server(state, pages.origin, *plugin))
        given = {
            "remote_services": {"url": url, "token": token},
            "rpc_websockets": {"url": stack.enter_context(run_node_server(folder, "rpc_websockets_server.mjs", "ws"))},
            "socket_io": {"url": stack.enter_context(run_node_server(folder, "socket_io_server.mjs", "http"))},
        }
        browser = Browser(Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))))
        stack.callback(browser.close)
        found: dict[str, Page] = {}
        for name, about in given.items():
            html = f'<!doctype html><meta charset="utf-8"><script type="module" src="{name}.js"></script>'
            (folder / "pages" / f"{name}.html").write_text(html, encoding="utf-8")
            hash_part = urllib.parse.quote(json.dumps(about))
            page = browser.open(f"{pages.origin}/{name}.html#{hash_part}")
            look = "const look = () => globalThis.isReady ? done() : setTimeout(look, 20);"
            page.evaluate(f"new Promise((done) => {{ {look} look(); }})")
            found[name] = page
        yield found


def _read_processor_s() -> float:
    """The processor time of all processes that we have started, in seconds: one contender works at a time."""
    times = [each.cpu_times() for each in psutil.Process().children(recursive=True)]
    return sum(each.user + each.system for each in times)


def run_rounds(pages: Mapping[str, Page], expression: str, rounds: int) -> Rounds:
    """Measure each page once in each round, after one round that warms up.

    Parameters:
        pages: of the contenders.
        expression: what gives how many there were, and the milliseconds.
        rounds: how many.
    """
    found: dict[str, list[Figure]] = {name: [] for name in pages}
    for number in range(rounds + 1):
        for name, page in pages.items():
            page.send("Page.bringToFront")  # Others get less of the processor.
            begin_s = _read_processor_s()
            count, ms = page.evaluate(expression)
            figure = Figure(count * 1000 / ms, (_read_processor_s() - begin_s) * 1e6 / count)
            if number > 0:
                found[name].append(figure)
    return found


def print_rates(what: str, found: Rounds) -> None:
    """Print the figures of contenders, and how many times theirs ours are.

    Parameters:
        what: what is counted.
        found: the figures, ours first.
    """
    ours, *others = found
    print(f"{what}: how many a second, and the processor time of browser and server for each")
    for name, figures in found.items():
        times = spread([each.processor_us for each in figures], ".1f")
        print(f"  {name:18}{spread([each.rate for each in figures]):32}{times} µs")
    for name in others:
        pairs = list(zip(found[ours], found[name], strict=True))
        rates = spread([one.rate / other.rate for one, other in pairs], ".2f")
        times = spread([other.processor_us / one.processor_us for one, other in pairs], ".2f")
        print(f"  beside {name:16}{rates} times as many a second; {times} times the work for the same processor time")


def measure_calls(options: Options) -> None:
    """Measure calls in flight."""
    install_libraries(options.folder)
    with open_contenders(options.folder) as pages:
        print_rates("answered calls, 64 in flight", run_rounds(pages, f"calls({CALLS_MS})", options.rounds))


def measure_stream(options: Options) -> None:
    """Measure streams of small items."""
    install_libraries(options.folder)
    with open_contenders(options.folder) as pages:
        with_streams = {name: pages[name] for name in ("remote_services", "socket_io")}
        print_rates("small items of a stream", run_rounds(with_streams, f"stream({ITEMS})", options.rounds))


PARTS: Mapping[str, Callable[[Options], None]] = {
    "calls": measure_calls,
    "stream": measure_stream,
    "load": measure_load,
    "terminal": measure_terminals,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all where none is given")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the peers are set up, and kept")
    parser.add_argument("--megabytes", type=int, default=100, help="for the terminal")
    wanted = parser.parse_args()
    unknown = set(wanted.parts) - set(PARTS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: there is no such part")
    with ExitStack() as stack:
        folder = (wanted.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        for part in wanted.parts or PARTS:
            PARTS[part](Options(folder, wanted.rounds, wanted.megabytes))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
