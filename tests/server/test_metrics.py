"""The page /metrics: what it counts, in which format, and who sees which part."""

from __future__ import annotations

import asyncio
import gc
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rpcserver import Figure, Outcome, Page, Service, method
from rpcserver.security.named_tokens import TokenSet
from rpcserver.security.token_file import TokenFile
from rpcserver.server import Server
from rpcserver.telemetry.calls import MOST_OUTCOMES, OTHER, UNKNOWN, CallMeter
from rpcserver.telemetry.exposition import Family, write
from rpcserver.telemetry.histogram import CALL_BOUNDS_S, Histogram
from rpcservices.database import Database
from rpcservices.programs import Programs

Sample = tuple[str, frozenset[tuple[str, str]]]


def read(text: str) -> dict[Sample, float]:
    """All samples of a page, as the parser of Prometheus' own library reads them. No name or sample comes twice."""
    samples: dict[Sample, float] = {}
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    assert len(names) == len(set(names))
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        assert family.type in ("counter", "gauge", "histogram"), family.name
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in samples
            samples[key] = sample.value
    return samples


def of(samples: Mapping[Sample, float], name: str, **labels: str) -> float:
    """The sum of all samples of a name that have these labels."""
    wanted = set(labels.items())
    return sum(value for (each, own), value in samples.items() if each == name and wanted <= own)


async def scrape(tools: Any, server: Server, token: str = "") -> str:
    """The text of the page."""
    request = f"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token or tools.TOKEN}\r\n\r\n"
    status, headers, body = await tools.http(server, request)
    assert status == 200, body
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return str(body.decode())


def create_token(tools: Any, role: str) -> str:
    """Make a named token for a role."""
    texts: list[str] = []

    def create(tokens: TokenSet) -> TokenSet:
        new, text = tokens.create(role, role, 1.0)
        texts.append(text)
        return new

    TokenFile(tools.folder).update(create)
    return texts[0]


class Workshop(Service):
    """Has figures."""

    made = 0

    @method()
    async def make(self) -> int:
        """Make one."""
        self.made += 1
        return self.made

    def figures(self) -> Iterable[Figure]:
        yield Figure("made_total", self.made, "Things made.")
        yield Figure("tools", 2, 'Tools of a \\ kind,\nor "two".', {"kind": 'a "b"\\\n'})
        yield Figure("tools", 3, "Tools.", {"kind": "c"})


class Broken(Service):
    """Cannot tell its figures, nor make its part of the page."""

    @method()
    async def nothing(self) -> None:
        """Do nothing."""

    def figures(self) -> Iterator[Figure]:
        raise ValueError("secret")

    async def show(self) -> str:
        raise OSError("/secret/path")

    def http_pages(self) -> Mapping[str, Page]:
        return {"/metrics": Page(self.show, permission="broken.nothing")}


def test_what_is_counted(tools: Any) -> None:
    """Calls of every kind and outcome, streams, notifications, connections, limits, the loop, and services."""
    limits = {"calls_in_flight": 2}

    async def main() -> None:
        calc = tools.Calc()
        async with (
            tools.serve(calc, Workshop(), Broken(), limits=limits) as server,
            tools.connect(server, "rpc.v1.json") as one,
            tools.connect(server) as other,
        ):
            await tools.call(other, "calc.add", [1, 2])
            for number in range(5):
                await tools.call(one, "calc.add", [1, number], number)
            await tools.call(one, "calc.add", ["x", 2])
            await tools.call(one, "calc.boom")
            await tools.call(one, "calc.refuse")
            await tools.call(one, "no.such_method")
            await tools.call(one, "workshop.make")
            await one.send(tools.request("calc.add", [1, 2], None))
            stream = (await tools.call(one, "calc.count", [3], 8))["result"]["stream"]
            assert stream

            def shown() -> str:
                return write(server.metrics.calls.families())

            await tools.until(lambda: of(read(shown()), "rpcserver_streams_total") == 1)
            for call in (20, 21):
                await one.send(tools.request("calc.wait", call_id=call))
            await tools.until(lambda: len(calc.log) >= 2)
            assert (await tools.call(one, "calc.add", [1, 2], 22))["error"]["data"]["type"] == "Busy"
            async with asyncio.timeout(tools.SECONDS):
                while not of(read(text := await scrape(tools, server)), "rpcserver_loop_lag_seconds_count"):
                    await asyncio.sleep(0.01)  # The loop is looked at 50 times a second.
            samples = read(text)
            calls = "rpcserver_calls_total"
            assert of(samples, calls, method="calc.add", kind="read", outcome="ok") == 6
            assert of(samples, calls, method="calc.add", outcome="InvalidParams") == 1
            assert of(samples, calls, method="calc.add", outcome="Busy") == 1
            assert of(samples, calls, method="calc.boom", kind="once", outcome="InternalError") == 1
            assert of(samples, calls, method="calc.refuse", outcome="Refused") == 1
            assert of(samples, calls, method=UNKNOWN, outcome="MethodNotFound") == 1
            assert "no.such_method" not in text
            seconds = "rpcserver_call_duration_seconds"
            for result, count in (("ok", 6), ("error", 2)):
                labels = {"method": "calc.add", "result": result}
                assert of(samples, f"{seconds}_count", **labels) == count
                assert of(samples, f"{seconds}_bucket", **labels, le="+Inf") == count
                assert 0 < of(samples, f"{seconds}_sum", **labels) < tools.SECONDS * count
            assert of(samples, "rpcserver_streams_total", method="calc.count", outcome="ok") == 1
            assert of(samples, "rpcserver_stream_items_sent_total", method="calc.count") == 3
            assert of(samples, "rpcserver_notifications_total", method="calc.add", outcome="ok") == 1
            assert of(samples, "rpcserver_calls_in_flight") == 2
            connections = "rpcserver_connections"
            by_form = {"transport": "tcp", "authenticated_by": "token"}
            assert of(samples, connections, subprotocol="rpc.v1.json", **by_form) == 1
            assert of(samples, connections, subprotocol="jsonrpc", **by_form) == 1
            assert of(samples, "rpcserver_connections_opened_total") == 2
            assert of(samples, "rpcserver_refusals_total", limit="limits.calls_in_flight") == 1
            assert of(samples, "rpcserver_build_info") == 1
            assert of(samples, "rpcserver_loop_lag_seconds_count") > 0
            assert of(samples, "process_open_fds") > 2
            assert of(samples, "process_start_time_seconds") > 1e9
            assert of(samples, "rpcserver_service_up", service="workshop") == 1
            assert of(samples, "workshop_made_total") == 1
            assert samples["workshop_tools", frozenset({("kind", 'a "b"\\\n')})] == 2
            assert of(samples, "workshop_tools") == 5
            # The others are shown, although one part is broken.
            assert of(samples, "rpcserver_metrics_part_ok", service="broken") == 0
            assert of(samples, "rpcserver_metrics_part_ok", service="rpc") == 1
            assert "secret" not in text
            calc.release.set()

            gc.collect()
            after = read(await scrape(tools, server))
            collections = "rpcserver_gc_collections_total"
            assert of(after, collections, generation="2") > of(samples, collections, generation="2")
            assert of(after, "rpcserver_gc_seconds_total", generation="2") > 0

    tools.run(main())


def test_who_sees_which_part(tools: Any) -> None:
    """Each part needs its own permission; whoever has none of them sees nothing."""
    roles = {
        "watcher": {"permissions": ["rpc.metrics"]},
        "fitter": {"permissions": ["hall.show"]},
        "guest": {"permissions": ["calc.add"]},
    }

    class Hall(Service):
        """Has a part of the page."""

        @method()
        async def show(self) -> str:
            """Look."""
            return "# HELP hall_size Size.\n# TYPE hall_size gauge\nhall_size 7\n"

        def http_pages(self) -> Mapping[str, Page]:
            return {"/metrics": Page(self.show, "text/plain; version=0.0.4; charset=utf-8", permission="hall.show")}

    async def main() -> None:
        tokens = {name: create_token(tools, name) for name in roles}
        async with tools.serve(tools.Calc(), Hall(), roles=roles) as server:
            server_part, hall_part = "rpcserver_build_info", "hall_size"
            for name, token in tokens.items():
                if name == "guest":
                    continue
                names = {each for each, _ in read(await scrape(tools, server, token))}
                assert (server_part in names, hall_part in names) == (name == "watcher", name == "fitter")
            names = {each for each, _ in read(await scrape(tools, server))}
            assert {server_part, hall_part} <= names
            for token, expected in ((tokens["guest"], 403), ("nonsense", 401)):
                request = f"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
                status, _, body = await tools.http(server, request)
                assert status == expected
                assert b"hall_size" not in body

    tools.run(main())


def test_metrics_that_are_off_cost_nothing(tools: Any) -> None:
    """Then nobody is told of calls, and there is no page."""

    async def main() -> None:
        async with tools.serve(metrics={"enabled": False}) as server, tools.connect(server) as one:
            assert not server.dispatch.is_observed
            assert server.stalls.on_look is None
            assert (await tools.call(one, "calc.add", [1, 2]))["result"] == 3
            request = f"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {tools.TOKEN}\r\n\r\n"
            assert (await tools.http(server, request))[0] == 404
        callbacks = len(gc.callbacks)
        async with tools.serve() as server:
            assert server.dispatch.is_observed
        assert len(gc.callbacks) == callbacks

    tools.run(main())


@pytest.mark.parametrize("more", ["audit", "observer", "both"])
def test_calls_are_counted_once_whoever_else_observes(tools: Any, more: str) -> None:
    async def main() -> None:
        async with tools.serve(audit={"enabled": more != "observer"}) as server:
            told: list[Outcome] = []
            if more != "audit":
                server.dispatch.observe(told.append)
            async with tools.connect(server) as one:
                for number in range(4):
                    await tools.call(one, "calc.add", [1, 2], number)
                await tools.call(one, "calc.boom")
            samples = read(write(server.metrics.calls.families()))
            assert of(samples, "rpcserver_calls_total", method="calc.add", outcome="ok") == 4
            assert of(samples, "rpcserver_calls_total", method="calc.boom") == 1
            assert len(told) == (0 if more == "audit" else 5)
            if server.trail is not None:
                await asyncio.sleep(0)
                server.trail.log.flush()
                assert server.trail.log.lines > 0

    tools.run(main())


def test_one_method_has_few_outcomes() -> None:
    """A handler may pass on errors whose types others choose: they must not fill the memory, nor the page."""

    class Error:
        type = ""

    class Offers:
        def get(self, _name: str) -> None:
            return None

    meter = CallMeter(Offers())  # type: ignore[arg-type]
    for number in range(3 * MOST_OUTCOMES):
        error = Error()
        error.type = f"Type{number}"
        outcome: Any = type("O", (), {})()
        outcome.subject, outcome.method, outcome.kind, outcome.error = "call", "a.b", "once", error
        outcome.duration_s = 0.001
        meter.ended(outcome)
    samples = read(write(meter.families()))
    outcomes = {dict(labels)["outcome"]: value for (name, labels), value in samples.items() if "calls_total" in name}
    assert len(outcomes) == MOST_OUTCOMES + 1
    assert outcomes[OTHER] == 2 * MOST_OUTCOMES


def test_what_nobody_asks_for_takes_no_more_memory(tools: Any) -> None:
    """The lag of the event loop is measured 50 times a second: kept until somebody asks, it filled the memory."""

    async def main() -> None:
        async with tools.serve(tools.Calc()) as server:
            look = server.stalls.on_look
            sizes = []
            for _ in range(5):
                for _ in range(2000):
                    look(0.001)
                sizes.append(len(server.metrics._recent_lag_ns))
            assert max(sizes) <= 1000
            assert of(read(await scrape(tools, server)), "rpcserver_loop_lag_seconds_count") >= 10_000

    tools.run(main())


def test_buckets() -> None:
    """A bucket has what is not longer than its bound, and all of the smaller ones."""
    histogram = Histogram()
    bounds_ns = [round(bound * 1e9) for bound in CALL_BOUNDS_S]
    for durations in (bounds_ns[::-1], [bound + 1 for bound in bounds_ns], [0], []):
        histogram.add_all(list(durations))
    family = Family("x_seconds", "histogram", "X.")
    histogram.show(family, {"a": "b"})
    samples = read(write([family]))
    for index, bound in enumerate(CALL_BOUNDS_S):
        assert of(samples, "x_seconds_bucket", le=f"{bound:g}") == 2 * index + 2
    assert of(samples, "x_seconds_count") == of(samples, "x_seconds_bucket", le="+Inf") == 2 * len(bounds_ns) + 1
    assert of(samples, "x_seconds_sum") == pytest.approx(2 * sum(CALL_BOUNDS_S), abs=1e-6)


def test_the_dashboard_asks_for_what_there_is(tools: Any) -> None:
    """Each query names metrics and labels of a real page."""
    dashboard = json.loads((Path(__file__).parents[2] / "config/grafana-dashboard.json").read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    queries += [each["query"]["query"] for each in dashboard["templating"]["list"] if each["type"] == "query"]
    assert len(queries) > 20

    async def main() -> None:
        services = (tools.Calc(), Programs(), Database())
        async with tools.serve(*services) as server, tools.connect(server, "rpc.v1.json") as one:
            server.connections.refusals["limits.connections"] += 1
            server.metrics._expiries = lambda: {"tls.certificate_file": 1}
            await tools.call(one, "calc.add", [1, 2])
            labels: dict[str, set[str]] = {}
            for name, pairs in read(await scrape(tools, server)):
                labels.setdefault(name, {"job", "instance"}).update(label for label, _ in pairs)
        for query in queries:
            names = re.findall(r"\b((?:rpcserver|process|programs|database)_\w+)", query)
            assert len(names) == 1, query
            assert names[0] in labels, query
            asked = set(re.findall(r'(\w+)(?:=~|!=|=)"', query))
            for group in re.findall(r"by \(([^)]*)\)", query):
                asked |= set(group.split(", "))
            asked |= set(re.findall(r", (\w+)\)$", query)) if query.startswith("label_values") else set()
            assert asked <= labels[names[0]], query
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                of_query = labels[re.findall(r"\b((?:rpcserver|process|programs|database)_\w+)", target["expr"])[0]]
                assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= of_query

    tools.run(main())
