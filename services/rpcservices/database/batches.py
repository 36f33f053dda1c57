"""Batches: several statements in one call, each under conditions on the earlier ones."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace

from rpcserver import InvalidParams, TooLarge
from rpcwire.errors import Executed

from .backends.base import Link
from .core import LentLink
from .errors import DatabaseError, DatabaseProgrammingError
from .hints import is_change, is_query, may_set
from .models import Condition, Outcome, Step, StepError, StepResult, TxState
from .placeholders import check_text, depends_on_syntax
from .reading import Limits, collect, has_changed
from .scripts import ends_transaction

MOST_COLUMNS = 8192
"""How many columns the results of one batch may have in all, where each result counts as one more: to describe so many
takes 30 ms."""
_TURN_STEPS = 256
"""How many steps to look at in one turn of the event loop."""
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
    """Refuse SQL that cannot be sent and parameters that do not fit, before anything runs. A step may change how the
    database reads strings; later steps that depend on that are checked when they run.

    Raises:
        InvalidParams: it names the step and the parameter.
    """
    for number, step in enumerate(steps):
        check_text(step.sql, loc=("steps", number, "sql"))
    unsure = False
    for number, step in enumerate(steps):
        await _give_way_after(number)
        if unsure and depends_on_syntax(step.sql):
            continue
        try:
            await link.check(step.sql, step.params)
        except InvalidParams as exc:
            errors = [{**error, "loc": ["steps", number, *error["loc"]]} for error in exc.errors]
            raise InvalidParams(f"steps.{number}.{exc.message}", errors=errors) from None
        unsure = unsure or may_set(step.sql, link.dialect)


async def _give_way_after(number: int) -> None:
    """Let others have their turn of the event loop from time to time: a call has room for thousands of steps."""
    if number % _TURN_STEPS == _TURN_STEPS - 1:
        await asyncio.sleep(0)


async def check_endings(link: Link, steps: Sequence[Step]) -> None:
    """Refuse steps that would end the transaction of the batch.

    Raises:
        DatabaseProgrammingError: it names the step; nothing has run.
    """
    for number, step in enumerate(steps):
        await _give_way_after(number)
        if ends_transaction(step.sql, link.dialect):
            raise DatabaseProgrammingError(
                f"step {number} would end the transaction that the batch is: {_REMEDY}", executed="no", step=number
            )


def holds(condition: Condition, results: Sequence[StepResult], changes: Collection[int]) -> bool:
    """Whether a condition on an earlier step is true.

    Parameters:
        condition: the condition.
        results: the results of the steps so far.
        changes: the numbers of the steps that changed a row.
    """
    step = results[condition.step]
    if condition.outcome in (Outcome.OK, Outcome.ERROR, Outcome.SKIPPED):
        return step.outcome is condition.outcome
    if step.result is None:
        return False
    # A truncated result has rows, even if the caller asked for none of them.
    has_rows, has_changes = len(step.result.rows) > 0 or step.result.truncated, condition.step in changes
    return {
        Outcome.ROWS: has_rows,
        Outcome.NO_ROWS: not has_rows,
        Outcome.CHANGED: has_changes,
        Outcome.UNCHANGED: not has_changes,
    }[condition.outcome]


async def run_batch(loan: LentLink, steps: Sequence[Step], limits: Limits, *, atomic: bool) -> list[StepResult]:
    """Run the steps whose conditions hold.

    Parameters:
        loan: the link that they run on.
        steps: the statements.
        limits: the limits of each step's result.
        atomic: whether to raise the first error; otherwise an error becomes its step's result.

    Raises:
        InvalidParams: a condition names a step that is not earlier, or a parameter does not fit; nothing has run.
        DatabaseError: a step of an atomic batch failed or ended its transaction.
    """
    link = loan.link
    check_conditions(steps)
    await check_steps(link, steps)
    odd: list[bool] = []
    for number, step in enumerate(steps):
        await _give_way_after(number)
        odd.append(not (is_query(step.sql, link.dialect) or is_change(step.sql, link.dialect)))
    is_watched = atomic and not link.readonly and any(odd)
    if atomic:
        await check_endings(link, steps)
    if is_watched:
        await link.mark()
    results: list[StepResult] = []
    changes: set[int] = set()
    columns = 0
    for number, step in enumerate(steps):
        if not all(holds(condition, results, changes) for condition in step.when):
            results.append(StepResult(Outcome.SKIPPED))
            continue
        try:
            result, change_count = await collect(
                link, step.sql, step.params, limits, within=atomic, session=loan.session
            )
            columns += 1 + len(result.columns)
            if columns > MOST_COLUMNS:
                raise _too_many_columns(number, executed="no" if atomic and not loan.within else "yes")
            if atomic and (
                result.tx_state is TxState.ENDED or (is_watched and odd[number] and not await link.is_marked())
            ):
                raise DatabaseProgrammingError(
                    f"step {number} ended the transaction that the batch was, and what it committed stays: {_REMEDY}",
                    step=number,
                )
            if has_changed(step.sql, link.dialect, result, change_count):
                changes.add(number)
            results.append(StepResult(Outcome.OK, result if loan.within else replace(result, tx_state=TxState.NONE)))
            if not atomic:
                loan.refuse_open_transaction()
        except Exception as exc:
            error = loan.error_for(exc, number)
            if atomic or not isinstance(error, DatabaseError):
                raise error from None
            del results[number:]
            results.append(StepResult(Outcome.ERROR, error=_step_error(error)))
        if not atomic:
            await loan.clear()
    return results


def _too_many_columns(number: int, executed: Executed) -> TooLarge:
    text = f"step {number}: the results of one batch have at most {MOST_COLUMNS} columns in all"
    return TooLarge(f"{text}, and each counts as one more: send the other steps in another batch", executed=executed)


def _step_error(error: DatabaseError) -> StepError:
    return StepError(error.type, error.message, error.sqlstate, error.driver_code, error.retryable)
