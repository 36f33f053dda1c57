"""Celery: a worker whose results are in the database."""

import json
import os

from celery import Celery, group
from celery.contrib.testing.worker import start_worker

url = os.environ.get("CELERY_URL", os.environ["URL"])
app = Celery("proof", broker="memory://", backend=f"db+{url}")
app.conf.update(
    result_extended=True, result_serializer="json", accept_content=["json"], worker_hijack_root_logger=False
)


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task
def fail() -> None:
    raise KeyError("no such thing")


with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=60):
    sums = group(add.s(number, number) for number in range(10)).apply_async().get(timeout=60)
    broken = fail.delay()
    broken.get(timeout=60, propagate=False)
    result = add.delay(20, 22)
    result.get(timeout=60)
    again = app.AsyncResult(result.id)
    seen = [again.result, again.state, again.date_done is not None, again.name, list(again.args)]
    again.forget()
    after = app.AsyncResult(result.id).state
    shown = [sums, broken.state, type(broken.result).__name__, seen, after]
print()
print(json.dumps(shown))
