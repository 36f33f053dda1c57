"""Figures that are read together beside psutil's own, of the same moment."""

from __future__ import annotations

import psutil
import pytest

from rpcservices.hardware.readers import procfs


def test_the_processors() -> None:
    before, found, after = psutil.cpu_times(), procfs.stat(), psutil.cpu_times()
    assert found.total._fields == before._fields
    for name in ("user", "system", "idle"):
        assert getattr(before, name) <= getattr(found.total, name) <= getattr(after, name)
    assert len(found.cpus) == len(psutil.cpu_times(percpu=True))
    assert sum(cpu.user for cpu in found.cpus.values()) == pytest.approx(found.total.user, abs=0.02 * len(found.cpus))
    counted, again, later = psutil.cpu_stats(), procfs.stat(), psutil.cpu_stats()
    for name in ("ctx_switches", "interrupts", "soft_interrupts"):
        assert getattr(counted, name) <= getattr(again, name) <= getattr(later, name)


def test_swap() -> None:
    before, found, after = psutil.swap_memory(), procfs.swap_memory(), psutil.swap_memory()
    assert found._fields == before._fields
    assert found.total == before.total
    assert found.used == found.total - found.free
    for name in ("sin", "sout"):
        assert getattr(before, name) <= getattr(found, name) <= getattr(after, name)


def test_a_figure_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="not found"):
        procfs._figure(b"a 1\nb 2\n", b"c ")
    assert procfs._figure(b"a 1\nb 2\n", b"b ") == 2
