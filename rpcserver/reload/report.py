"""What a reload answers, and how it is shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from rpcwire.errors import ServiceError

from .changes import Change


class ReloadFailed(ServiceError):
    """The new configuration cannot be used, and nothing has changed. The message says where the fault is."""

    executed = "no"


class ChangedSetting(BaseModel):
    """One setting that has changed."""

    model_config = ConfigDict(frozen=True)

    key: Annotated[str, Field(description="The key with its tables, such as limits.streams.")]
    old: Annotated[str, Field(description="The value before, for a person; secrets are hidden.")]
    new: Annotated[str, Field(description="The value that was read.")]
    effect: Annotated[Literal["at once", "new connections", "restart"], Field(description="When the new value holds.")]
    reason: Annotated[str, Field(description="Why it does not hold at once; empty if it does.")]


class ReloadReport(BaseModel):
    """What a reload has changed, and what it could not change."""

    model_config = ConfigDict(frozen=True)

    files: Annotated[list[str], Field(description="The files that were read.")]
    changes: list[ChangedSetting]


def make_report(changes: Sequence[Change], files: Sequence[str]) -> ReloadReport:
    """Make the answer of a reload.

    Parameters:
        changes: what has changed.
        files: the files that were read.
    """
    return ReloadReport(
        files=list(files),
        changes=[
            ChangedSetting(
                key=change.key,
                old=change.old,
                new=change.new,
                effect=change.rule.effect.value,
                reason=change.rule.reason,
            )
            for change in changes
        ],
    )


def lay_out(report: ReloadReport) -> Iterator[str]:
    """Yield the lines of a report for a person."""
    for change in report.changes:
        line = f"{change.key}: {change.old} -> {change.new}"
        if change.effect == "restart":
            yield f"{line}: needs a restart, and stays as it was: {change.reason}"
        elif change.effect == "new connections":
            yield f"{line}: holds for new connections: {change.reason}"
        else:
            yield line
    if not report.changes:
        yield "no setting has changed; tokens, certificates and other files were read again"
