"""The state of an audit log as text for Prometheus."""

from __future__ import annotations

from .log import Log


def show_metrics(log: Log) -> str:
    """Show the state of an audit log in the text format of Prometheus, version 0.0.4.

    Parameters:
        log: the audit log.
    """
    head = log.head
    figures = [
        ("lines_total", "counter", "Lines since the start.", "", log.lines),
        ("lost_total", "counter", "Events since the start that have no line.", "", log.lost_events),
        ("backlog_bytes", "gauge", "Lines that are not written yet, in bytes.", "", log.backlog_bytes),
        ("failing", "gauge", "Whether writing fails.", "", int(log.is_failing)),
        ("head", "gauge", "The number of the last line that was written.", f'{{chain="{head.chain}"}}', head.seq),
    ]
    lines: list[str] = []
    for name, kind, text, label, value in figures:
        full_name = f"rpcserver_audit_{name}"
        lines += [f"# HELP {full_name} {text}", f"# TYPE {full_name} {kind}", f"{full_name}{label} {value}"]
    return "\n".join(lines) + "\n"
