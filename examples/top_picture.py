"""Draws what `rpcclient top` shows of a running server: `python examples/top_picture.py [SECONDS [FILTER]]`."""

from __future__ import annotations

import io
import re
import sys
import time
from pathlib import Path

from rich.console import Console, Group

from rpcclient import Client
from rpcclient.cli.top_screen import draw
from rpcclient.cli.top_state import TopState
from rpcclient.stubs.hardware import ProcessAttribute, Section

SECTIONS: list[Section] = ["host", "cpu", "memory", "disks", "network", "sensors"]
ATTRIBUTES: list[ProcessAttribute] = [
    "name",
    "username",
    "status",
    "cpu_percent",
    "memory_info",
    "num_threads",
    "nice",
    "cpu_times",
]
WIDTH, HEIGHT = 110, 28


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 15.0
    state = TopState(pattern=sys.argv[2] if len(sys.argv) > 2 else "")
    with Client() as client:
        end = time.monotonic() + seconds
        with client.hardware.watch(SECTIONS, interval_s=0.3) as samples:
            for sample in samples:
                state.add_sample(sample)
                if time.monotonic() > end:
                    break
        state.process_list = client.hardware.processes(ATTRIBUTES, limit=200)
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Group(*draw(state, WIDTH, HEIGHT)))
    path = Path(__file__).resolve().parents[1] / "docs" / "top.svg"
    # Without the fonts that rich would have it load from elsewhere.
    picture = re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title="rpcclient top"), flags=re.DOTALL)
    path.write_text(picture, encoding="utf-8")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
