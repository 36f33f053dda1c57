"""What all parts of the hardware service share: the sampler, the processes and the history, and how they start and
stop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, get_args

from rpcserver import Context, Guard, InvalidParams, MethodSpec, Page, Principal, Reload, Service, ServiceRole, event
from rpcservices.hardware.serial.ports import SerialPorts

from .config import HardwareConfig
from .errors import SectionUnavailable
from .exposition import CONTENT_TYPE, expose
from .gpu_processes import ProcessView
from .inventory.inventory import Inventory
from .inventory.uevents import open_source
from .inventory.watcher import DeviceWatcher
from .models import DeviceEvent, Section, Snapshot
from .readers.gpus import GpuReader
from .readers.places import Places
from .roles import HardwareRole, check_own_user, limits_to_own
from .sampling.collector import Collector
from .sampling.history import History
from .sampling.metrics import WITHOUT_HISTORY, has_history, metrics
from .sampling.processes import Processes
from .sampling.sampler import Sampler
from .sampling.samples import SampleMaker
from .sampling.sections import section_readers
from .sampling.worker import Worker

HISTORY_SECTIONS: frozenset[Section] = frozenset(get_args(Section)) - WITHOUT_HISTORY
"""The sections that have a history."""

DEVICES_AGAIN_S = 10.0
"""How long to wait before devices are watched again, if that has failed, in seconds."""

_SAMPLER = "what reads the sections is made at the start"
_WATCHER = "the watch of devices is made at the start"
_HISTORY = "the history has its room from the start"

_NO_UID = -1
"""The user of no process."""


class HardwareCore(Service[HardwareConfig]):
    """The machine, and the clients that follow it.

    Parameters:
        config: the configuration.
        places: the folders in which the system shows its hardware.
    """

    permissions: ClassVar[Mapping[str, str]] = {
        "hardware.read": "read the machine and its devices, and follow them",
        "hardware.processes": "see processes, and whose network connections are",
        "hardware.control": "signal processes, and set their priority and affinity",
        "hardware.serial": "open serial ports",
        "hardware.smart": "ask disks for their health",
        "hardware.metrics": "read the page /metrics",
    }
    restart_keys: ClassVar[Mapping[str, str]] = {
        "section_timeout_s": _SAMPLER,
        "device_events": _WATCHER,
        "device_events_bytes": _WATCHER,
        "metrics_page": "the pages of the server are made at the start",
        "history": _HISTORY,
        "history_interval_s": _HISTORY,
        "history_fine_s": _HISTORY,
        "history_coarse_step_s": _HISTORY,
        "history_coarse_s": _HISTORY,
        "history_metrics": _HISTORY,
    }
    role_model = HardwareRole

    def __init__(self, config: HardwareConfig | None = None, places: Places | None = None) -> None:
        super().__init__(config)
        self.places = places or Places()
        self._gpus = GpuReader(self.places)
        self._collector = Collector(
            section_readers(self.places, self._gpus, self.config.section_timeout_s), self.config.section_timeout_s
        )
        self._sampler = Sampler(self._collector)
        self._worker = Worker("rpc-hardware-processes")
        self._samples = SampleMaker()
        self._processes = Processes(self._worker)
        self.inventory = Inventory(self.places)
        self._watcher = DeviceWatcher(
            self.inventory,
            lambda: open_source(self.places, self.config.device_events_bytes),
            self.config.device_events,
        )
        self._announcer: asyncio.Task[None] | None = None
        self._serial = SerialPorts(self.inventory, self.config, self._worker)
        self.history_kept: History | None = None
        self._history_in_turn = asyncio.Lock()
        self._recorder: asyncio.Task[None] | None = None
        if self.config.history:
            self.history_kept = History(
                interval_s=self.config.history_interval_s,
                fine_s=self.config.history_fine_s,
                coarse_step_s=self.config.history_coarse_step_s,
                coarse_s=self.config.history_coarse_s,
                most_metrics=self.config.history_metrics,
            )

    async def start(self) -> None:
        """Take the first readings, so that the first caller gets rates, and start the history."""
        await asyncio.gather(self._sampler.prime(), self._processes.measure())
        if self.history_kept is not None:
            self._recorder = asyncio.get_running_loop().create_task(self._record(self.history_kept))
            self.runtime.rely_on(self._recorder)
        self.runtime.events.on_interest("device_changed", self._mind_devices)

    def _mind_devices(self, is_wanted: bool) -> None:
        """Watch the devices as long as somebody follows what changes in them."""
        if self._announcer is not None:
            self._announcer.cancel()
            self._announcer = None
        if is_wanted:
            self._announcer = asyncio.get_running_loop().create_task(self._announce_devices())

    async def _announce_devices(self) -> None:
        while True:
            try:
                async with contextlib.aclosing(self._watcher.follow(None)) as events:
                    async for news in events:
                        if news.action != "snapshot":
                            self.device_changed(news.model_copy(update={"devices": None}))
            except (OSError, SectionUnavailable) as exc:
                self.runtime.logger.warning("device events cannot be told: %s", exc)
            await asyncio.sleep(DEVICES_AGAIN_S)

    @event(permission="hardware.read")
    def device_changed(self, change: DeviceEvent) -> None:
        """A device was added or removed, or has changed. `resync` tells that some of this was missed; `devices` lists
        all."""

    async def prepare_reload(self, config: HardwareConfig, roles: tuple[ServiceRole, ...]) -> Reload:  # noqa: ARG002
        """New settings hold for calls and streams that begin afterwards."""

        def commit() -> None:
            self._serial.config = config

        return Reload(commit)

    async def stop(self) -> None:
        """End all reading."""
        for task in (self._recorder, self._announcer):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        await self._sampler.close()
        await self._processes.close()
        await self._watcher.close()
        self._serial.close_all()
        self._gpus.close()
        self._worker.close()
        self._collector.close()

    async def _record(self, history: History) -> None:
        async for snapshot in self._sampler.follow(HISTORY_SECTIONS, self.config.history_interval_s):
            with_history = [metric for metric in metrics(snapshot) if has_history(metric.path)]
            # If there are too many, the last ones are left out: file systems, of which a node with containers has
            # hundreds.
            with_history.sort(key=lambda metric: metric.path.startswith("disks.filesystems."))
            history.record(snapshot.t_wall_s, ((metric.name, metric.value) for metric in with_history))

    def guard(self, method: MethodSpec) -> Guard | None:
        """Return what refuses callers whose role allows only their own processes, if nobody knows which these are."""
        if method.permission not in ("hardware.processes", "hardware.control"):
            return None

        def check(principal: Principal, _: Mapping[str, Any]) -> None:
            check_own_user(principal, self.runtime.role_of(principal))

        return check

    def _only_uid(self, ctx: Context) -> int | None:
        """The user whose processes alone exist for a caller; ``None`` for all users."""
        if not limits_to_own(self.runtime.role_of(ctx.principal)):
            return None
        return _NO_UID if ctx.principal.uid is None else ctx.principal.uid

    def _view(self, ctx: Context) -> ProcessView:
        """Which processes of GPUs a caller sees."""
        return ProcessView(ctx.principal, self.runtime.role_of(ctx.principal))

    async def _limit(self, snapshot: Snapshot, view: ProcessView) -> Snapshot:
        """Leave out of a snapshot what a caller may not see."""
        if not view.hides_part_of(snapshot.gpus):
            return snapshot
        return await self._worker.run(lambda: view.limit_snapshot(snapshot))

    def http_pages(self) -> Mapping[str, Page]:
        """The metrics for Prometheus, if the configuration asks for them."""
        if not self.config.metrics_page:
            return {}

        async def render() -> str:
            return expose(metrics(await self._sampler.take(all_sections(None) - {"users"})))

        return {"/metrics": Page(render, CONTENT_TYPE, permission="hardware.metrics")}

    async def _section(self, section: Section) -> Any:
        """The answer of one section.

        Raises:
            SectionUnavailable: it could not be read.
        """
        snapshot = await self._sampler.take({section})
        answer = getattr(snapshot, section)
        if answer is None:
            reason = snapshot.reasons[section]
            raise SectionUnavailable(f"{section} cannot be read now: {reason}", section=section, reason=reason)
        return answer

    def _interval(self, interval_s: float) -> float:
        """Check an interval, and round it.

        Raises:
            InvalidParams: the interval is too short.
        """
        least = self.config.min_interval_s
        if not interval_s >= least:
            raise InvalidParams(
                f"interval_s: {interval_s:g} is too short: at least {least:g}",
                errors=[{"loc": ["interval_s"], "msg": f"must be at least {least:g}"}],
            )
        # It is rounded, so that nearly equal intervals share one beat. More than a day has no use.
        return min(max(float(f"{interval_s:.2g}"), least), 86_400.0)


def all_sections(sections: Collection[Section] | None) -> frozenset[Section]:
    """The sections that a caller asks for; all where it names none."""
    return frozenset(sections if sections is not None else get_args(Section))
