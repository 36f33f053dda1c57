"""Draws what `rpcclient nodes --watch` and `rpcclient run --on` show of a group of five nodes, one of which is killed
in the middle, for `docs/`: `python -m examples.group_pictures`."""

from __future__ import annotations

import io
import re
import tempfile
from contextlib import closing
from pathlib import Path

from rich.console import Console
from rich.text import Text

from examples.cluster import Cluster, Terminal, Watch

DOCS = Path(__file__).resolve().parents[1] / "docs"
NODES = ("db-1", "web-1", "web-2", "web-3", "web-4")
RELEASES = {"web-3": "2026.10"}
"""Those of nodes that are behind the others."""
LOST = "web-4"
WATCH = "nodes --watch"
RUN = "run --on role=web --gather -- sh -c 'echo release $RELEASE; sleep 5'"


def read_lines(output: str) -> list[Text]:
    """Return the lines that a terminal shows in the end, in their colours.

    Parameters:
        output: what a command has written. It begins a line anew, as for a bar, by a carriage return.
    """
    shown = [line.rstrip("\r").rpartition("\r")[2].replace("\x1b[K", "") for line in output.split("\n")]
    return [Text.from_ansi(line) for line in shown if line]


def draw(command: str, output: str, name: str) -> None:
    """Draw what a command has shown.

    Parameters:
        command: the words after ``rpcclient``.
        output: what it has written.
        name: that of the picture in ``docs/``.
    """
    lines = [Text.assemble(("$ ", "dim"), (f"rpcclient {command}", "bold")), *read_lines(output)]
    width = max(line.cell_len for line in lines)
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for line in lines:
        console.print(line)
    # Without the fonts that rich would have it load from elsewhere.
    svg = console.export_svg(title="rpcclient", unique_id=name)
    path = DOCS / f"{name}.svg"
    path.write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL), encoding="utf-8")
    print(f"wrote {path}")


def main() -> None:
    labels = {name: {"role": name.partition("-")[0]} for name in NODES}
    with tempfile.TemporaryDirectory(prefix="remote-services-group-") as folder:
        cluster = Cluster(Path(folder), labels)
        try:
            for name in NODES:
                cluster.start(name, RELEASES.get(name, "2026.11"))
            with cluster.client("db-1") as client, closing(Watch(client)) as watch:
                watch.wait_for("that all are up", lambda nodes: [each.state for each in nodes.values()] == ["up"] * 5)
                with closing(Terminal(cluster, WATCH)) as watching:
                    events = watching.read_until(rf"{LOST} .*\n")
                    with closing(Terminal(cluster, RUN)) as running:
                        running.read_until(r" 0/4 ")
                        cluster.kill(LOST)
                        draw(RUN, running.read_to_end(), "group-run")
                    events += watching.read_until(rf"{LOST} died: .*\n")
                    cluster.start(LOST, "2026.11")
                    events += watching.read_until(rf"{LOST} (returned|joined): .*\n")
                draw(WATCH, events, "group-nodes")
        finally:
            cluster.stop()


if __name__ == "__main__":
    main()
