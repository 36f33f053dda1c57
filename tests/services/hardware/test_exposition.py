"""The metrics for Prometheus, read by Prometheus' own parser."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from rpcserver.config import ServerConfig
from rpcserver.server import Server
from rpcservices.hardware import Hardware
from rpcservices.hardware.config import HardwareConfig
from rpcservices.hardware.exposition import expose
from rpcservices.hardware.sampling.metrics import Metric

NAMES = st.from_regex(r"[a-z]{1,8}(\.[a-z_]{1,8}){1,3}", fullmatch=True)
LABELS = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=20)


@given(st.dictionaries(st.tuples(NAMES, LABELS), st.floats(allow_nan=False), max_size=8))
def test_what_goes_in_comes_out(values: dict[tuple[str, str], float]) -> None:
    text = expose(Metric(path, label, value, "gauge") for (path, label), value in values.items())
    found = {
        (sample.name, sample.labels.get("of", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    wanted = {(f"hardware_{path.replace('.', '_')}", label): value for (path, label), value in values.items()}
    assert found.keys() == wanted.keys()
    assert all(math.isclose(found[key], wanted[key]) for key in wanted)


def test_the_page(tmp_path: Path) -> None:
    async def main() -> str:
        service = Hardware(HardwareConfig(metrics_page=True))
        config = ServerConfig.model_validate({"state_dir": str(tmp_path), "listen": {"port": 0, "unix": "none"}})
        server = Server(config, [service], token="t" * 32)
        await server.start()
        try:
            port = int(server.addresses[0].rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                f"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {'t' * 32}\r\n\r\n".encode()
            )
            head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
            writer.close()
            assert "version=0.0.4" in head
            return body
        finally:
            await server.stop(grace_s=0)

    families = {family.name: family for family in text_string_to_metric_families(asyncio.run(main()))}
    assert families["hardware_memory_total_bytes"].documentation == "physical memory"
    assert families["hardware_host_uptime_s"].samples[0].value > 0
    assert families["hardware_cpu_load_1m"].documentation == "load average over one minute"
    (total,) = families["hardware_memory_total_bytes"].samples
    assert total.value == psutil.virtual_memory().total
    received = families["hardware_network_interfaces_bytes_recv"]
    assert received.type == "counter"
    assert {sample.labels["of"] for sample in received.samples} == set(psutil.net_io_counters(pernic=True))


def test_off_by_default() -> None:
    assert Hardware().http_pages() == {}


def test_metrics_of_two_chips_of_one_kind_stay_apart(machine: Callable[[str], Any], serve: Callable[..., None]) -> None:
    async def scenario(client: Any) -> None:
        async with client.hardware.subscribe(["sensors"], interval_s=0.1) as samples:
            sample = await anext(samples)
        chips = [name for name in sample.values if name.startswith("sensors.readings.current{nct6775/temperature}")]
        twins = [name for name in sample.values if "nct6775/temperature" in name and ".current{" in name]
        assert len(twins) == len(set(twins)) > len(chips)
        assert any("#2" in name for name in twins)
        assert any(reason.startswith("failed") for reason in sample.reasons.values())

    serve(scenario, machine("broken"))
