"""Leaves out of answers about GPUs the processes that a caller may not see. By their numbers and memory they tell what
others do, so that the same holds for them as for lists of processes."""

from __future__ import annotations

import psutil

from rpcserver import Principal, ServiceRole

from .models import Gpu, GpuProcess, Gpus, Snapshot
from .readers.identity import runs_as
from .roles import limits_to_own

_DENIAL = "denied: your role lacks the permission hardware.processes"
_UNKNOWN = "denied: your role allows your own processes only, and the server does not know your user"


class ProcessView:
    """Which processes of GPUs a caller sees.

    Parameters:
        principal: the caller.
        role: the role of the caller; ``None`` for none.

    Attributes:
        sees_all: whether the caller sees the processes of everybody.
    """

    def __init__(self, principal: Principal, role: ServiceRole | None) -> None:
        self._uid = principal.uid
        self._reason = ""
        self.sees_all = False
        if role is None or "hardware.processes" not in role.permissions:
            self._reason = _DENIAL
        elif not limits_to_own(role):
            self.sees_all = True
        elif principal.uid is None:
            self._reason = _UNKNOWN

    def hides_part_of(self, gpus: Gpus | None) -> bool:
        """Return whether something must be left out of an answer for this caller."""
        return not self.sees_all and gpus is not None and any(gpu.processes for gpu in gpus.gpus)

    def limit(self, gpus: Gpus) -> Gpus:
        """Copy an answer without the processes that the caller may not see. It asks the system whose they are."""
        return gpus.model_copy(update={"gpus": [self._limit_one(gpu) for gpu in gpus.gpus]})

    def limit_snapshot(self, snapshot: Snapshot) -> Snapshot:
        """Do the same as :meth:`limit` for the section of a snapshot."""
        assert snapshot.gpus is not None
        return snapshot.model_copy(update={"gpus": self.limit(snapshot.gpus)})

    def _limit_one(self, gpu: Gpu) -> Gpu:
        if gpu.processes is None:
            return gpu
        if self._reason:
            return gpu.model_copy(update={"processes": None, "reasons": {**gpu.reasons, "processes": self._reason}})
        return gpu.model_copy(update={"processes": list(filter(self._is_own, gpu.processes))})

    def _is_own(self, process: GpuProcess) -> bool:
        assert self._uid is not None
        try:
            return runs_as(psutil.Process(process.pid), self._uid)
        except psutil.NoSuchProcess:
            return False
