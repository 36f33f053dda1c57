"""Batches: several statements in one call, each under conditions on the earlier ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rpcserver import InvalidParams

from .backends.base import Link
from .core import Lent
from .errors import DatabaseError, DatabaseProgrammingError
from .models import Condition, Outcome, Step, StepError, StepResult, TxState
from .placeholders import check_text
from .reading import collect


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


def check_steps(link: Link, steps: Sequence[Step]) -> None:
    """Refuse SQL that cannot be sent and parameters that do not fit, before anything runs.

    Raises:
        InvalidParams: it names the step and the parameter.
    """
    for number, step in enumerate(steps):
        check_text(step.sql, loc=("steps", number, "sql"))
        try:
            link.check(step.sql, step.params)
        except InvalidParams as exc:
            errors = [{**error, "loc": ["steps", number, *error["loc"]]} for error in exc.errors]
            raise InvalidParams(f"steps.{number}.{exc.message}", errors=errors) from None


def holds(condition: Condition, done: Sequence[StepResult]) -> bool:
    """Whether a condition is true of the steps so far."""
    step = done[condition.step]
    if condition.outcome in (Outcome.OK, Outcome.ERROR, Outcome.SKIPPED):
        return step.outcome is condition.outcome
    if step.result is None:
        return False
    found, changed = len(step.result.rows) > 0, not step.result.columns and step.result.rowcount > 0
    return {
        Outcome.ROWS: found,
        Outcome.NO_ROWS: not found,
        Outcome.CHANGED: changed,
        Outcome.UNCHANGED: not changed,
    }[condition.outcome]


async def run_batch(lent: Lent, steps: Sequence[Step], limits: dict[str, int], *, atomic: bool) -> list[StepResult]:
    """Run the steps whose conditions hold.

    Parameters:
        lent: where to run them.
        steps: the statements.
        limits: of each step's result.
        atomic: raise the first error; otherwise it becomes its step's result.

    Raises:
        InvalidParams: a condition on a step that is not earlier, or a parameter that does not fit; nothing has run.
        DatabaseError: a step failed, of an atomic batch.
    """
    check_conditions(steps)
    check_steps(lent.link, steps)
    done: list[StepResult] = []
    for number, step in enumerate(steps):
        if not all(holds(condition, done) for condition in step.when):
            done.append(StepResult(Outcome.SKIPPED))
            continue
        try:
            result = await collect(lent.link, step.sql, step.params, within=atomic, session=lent.session, **limits)
            if atomic and result.tx_state is TxState.ENDED:
                raise DatabaseProgrammingError("the statement ended the transaction: steps must not", step=number)
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
