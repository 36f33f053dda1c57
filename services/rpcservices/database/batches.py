"""Batches: several statements in one call, each under conditions on the earlier ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from rpcserver import InvalidParams

from .backends.base import Link
from .core import Lent
from .errors import DatabaseError, DatabaseProgrammingError
from .hints import is_change, is_query, may_set
from .models import Condition, Outcome, Step, StepError, StepResult, TxState
from .placeholders import check_text, depends_on_syntax
from .reading import Limits, collect, has_changed
from .scripts import ends_transaction

_REMEDY = "leave it out, or give atomic=False outside a transaction"


def check_conditions(steps: Sequence[Step]) -> None:
    """Refuse a condition on a step that is not earlier.

    Raises:
        InvalidParams: it names the condition.
    """
    for number, step in enumerate(steps):
        for place, condition in enumerate(step.when):
            if condition.step >= number:
                loc = ["steps", number, "when", place, "step"]
                message = f"step {condition.step} is not before step {number}"
                raise InvalidParams(
                    f"{'.'.join(map(str, loc))}: {message}", errors=[{"loc": loc, "msg": message, "type": "condition"}]
                )


async def check_steps(link: Link, steps: Sequence[Step]) -> None:
    """Refuse SQL that cannot be sent and parameters that do not fit, before anything runs. Behind a step that may
    change how strings are read, steps for which that matters are checked when they run.

    Raises:
        InvalidParams: it names the step and the parameter.
    """
    for number, step in enumerate(steps):
        check_text(step.sql, loc=("steps", number, "sql"))
    unsure = False
    for number, step in enumerate(steps):
        if unsure and depends_on_syntax(step.sql):
            continue
        try:
            await link.check(step.sql, step.params)
        except InvalidParams as exc:
            errors = [{**error, "loc": ["steps", number, *error["loc"]]} for error in exc.errors]
            raise InvalidParams(f"steps.{number}.{exc.message}", errors=errors) from None
        unsure = unsure or may_set(step.sql, link.dialect)


def check_endings(link: Link, steps: Sequence[Step]) -> None:
    """Refuse steps that say that they end the transaction which the batch is, or is part of.

    Raises:
        DatabaseProgrammingError: it names the step; nothing has run.
    """
    for number, step in enumerate(steps):
        if ends_transaction(step.sql, link.dialect):
            raise DatabaseProgrammingError(
                f"step {number} would end the transaction that the batch is: {_REMEDY}", executed="no", step=number
            )


def holds(condition: Condition, done: Sequence[StepResult], changes: Collection[int]) -> bool:
    """Whether a condition is true of the steps so far.

    Parameters:
        condition: on one of them.
        done: what became of them.
        changes: those that changed a row.
    """
    step = done[condition.step]
    if condition.outcome in (Outcome.OK, Outcome.ERROR, Outcome.SKIPPED):
        return step.outcome is condition.outcome
    if step.result is None:
        return False
    # Whether there are rows does not depend on how many of them were asked for.
    found, changed = len(step.result.rows) > 0 or step.result.truncated, condition.step in changes
    return {
        Outcome.ROWS: found,
        Outcome.NO_ROWS: not found,
        Outcome.CHANGED: changed,
        Outcome.UNCHANGED: not changed,
    }[condition.outcome]


async def run_batch(lent: Lent, steps: Sequence[Step], limits: Limits, *, atomic: bool) -> list[StepResult]:
    """Run the steps whose conditions hold.

    Parameters:
        lent: where to run them.
        steps: the statements.
        limits: of each step's result.
        atomic: raise the first error; otherwise it becomes its step's result.

    Raises:
        InvalidParams: a condition on a step that is not earlier, or a parameter that does not fit; nothing has run.
        DatabaseError: a step failed, of an atomic batch, or ended its transaction.
    """
    link = lent.link
    check_conditions(steps)
    await check_steps(link, steps)
    odd = [not (is_query(step.sql, link.dialect) or is_change(step.sql, link.dialect)) for step in steps]
    watched = atomic and not link.readonly and any(odd)
    if atomic:
        check_endings(link, steps)
    if watched:
        await link.mark()
    done: list[StepResult] = []
    changes: set[int] = set()
    for number, step in enumerate(steps):
        if not all(holds(condition, done, changes) for condition in step.when):
            done.append(StepResult(Outcome.SKIPPED))
            continue
        try:
            result, changed = await collect(link, step.sql, step.params, limits, within=atomic, session=lent.session)
            if atomic and (
                result.tx_state is TxState.ENDED or (watched and odd[number] and not await link.is_marked())
            ):
                raise DatabaseProgrammingError(
                    f"step {number} ended the transaction that the batch was, and what it committed stays: {_REMEDY}",
                    step=number,
                )
            if has_changed(step.sql, link.dialect, result, changed):
                changes.add(number)
            done.append(StepResult(Outcome.OK, result if lent.within else replace(result, tx_state=TxState.NONE)))
            if not atomic:
                lent.refuse_open_transaction()
        except Exception as exc:
            error = lent.failed(exc, number)
            if atomic or not isinstance(error, DatabaseError):
                raise error from None
            del done[number:]
            done.append(StepResult(Outcome.ERROR, error=_step_error(error)))
        if not atomic:
            await lent.clear()
    return done


def _step_error(error: DatabaseError) -> StepError:
    return StepError(error.type, error.message, error.sqlstate, error.driver_code, error.retryable)
