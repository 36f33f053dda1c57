"""The sections of the machine: how to read each, and how to make an answer from two readings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from rpcservices.hardware.models import Section
from rpcservices.hardware.readers import cgroup, cpu, disks, memory, network
from rpcservices.hardware.readers.battery import battery
from rpcservices.hardware.readers.disks import Mounts
from rpcservices.hardware.readers.gpus import GpuReader
from rpcservices.hardware.readers.host import host
from rpcservices.hardware.readers.places import Places
from rpcservices.hardware.readers.pressure import pressure
from rpcservices.hardware.readers.sensors import Chips, sensors
from rpcservices.hardware.readers.users import users


def _as_read(_: Any, now: Any, __: float | None) -> Any:
    return now


@dataclass(frozen=True, slots=True)
class SectionReader:
    """One section.

    Attributes:
        read: takes a reading; it may block, and raise.
        derive: makes the answer from the reading before (``None`` if there is none), the present one, and the seconds
            between them.
        slow: whether a reading may wait for something outside the kernel: a bus, a chip, a file server. If it does, the
            section gets a thread of its own.
        read_at_once: takes a reading for which the kernel has the answer in memory and takes no lock that others may
            hold for long; returns ``None`` if that is not possible now. ``None`` if it never is.
    """

    read: Callable[[], Any]
    derive: Callable[[Any, Any, float | None], Any] = _as_read
    slow: bool = False
    read_at_once: Callable[[], Any] | None = None

    @property
    def has_rates(self) -> bool:
        """Whether the answer needs two readings."""
        return self.derive is not _as_read


def section_readers(places: Places, gpus: GpuReader, timeout_s: float) -> Mapping[Section, SectionReader]:
    """Make the readers of all sections of a machine.

    Parameters:
        places: the folders in which the system shows its hardware.
        gpus: reads GPUs.
        timeout_s: how long a section may take, in seconds; one chip or file system in it may take half of that.
    """
    chips, mounts = Chips(timeout_s / 2), Mounts(timeout_s / 2)
    read_cpu = partial(cpu.read, places)
    return {
        "host": SectionReader(lambda: host(places)),
        "cpu": SectionReader(
            read_cpu, lambda before, now, dt_s: cpu.derive(before, now, dt_s, places), read_at_once=read_cpu
        ),
        "memory": SectionReader(memory.read, memory.derive, read_at_once=memory.read),
        "disks": SectionReader(lambda: disks.read(mounts), disks.derive, slow=True, read_at_once=disks.read_at_once),
        "network": SectionReader(network.read, network.derive, read_at_once=network.read_at_once),
        "sensors": SectionReader(lambda: sensors(places, chips), slow=True),
        "battery": SectionReader(lambda: battery(places), slow=True),
        "users": SectionReader(users),
        "cgroup": SectionReader(lambda: cgroup.read(places), cgroup.derive),
        "pressure": SectionReader(lambda: pressure(places)),
        "gpus": SectionReader(gpus.read, slow=True),
    }
