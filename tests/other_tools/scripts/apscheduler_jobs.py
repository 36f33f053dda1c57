"""APScheduler: jobs in the database outlive the scheduler that added them, and run in the next one."""

import json
import os
import threading
from datetime import UTC, datetime, timedelta

from apscheduler.events import EVENT_JOB_EXECUTED
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler

ran = []
done = threading.Event()


def work(name: str, blob: bytes) -> None:
    ran.append([name, blob.hex()])
    if len(ran) == 3:
        done.set()


def scheduler() -> BackgroundScheduler:
    made = BackgroundScheduler(timezone=UTC)
    made.add_jobstore(SQLAlchemyJobStore(url=os.environ["URL"]))
    return made


if __name__ == "__main__":
    first = scheduler()
    first.start(paused=True)
    soon = datetime.now(UTC) + timedelta(seconds=1)
    for number in range(3):
        first.add_job(work, "date", run_date=soon, args=[f"job {number}", bytes(range(250, 256))], id=f"job-{number}",
                      misfire_grace_time=600)  # fmt: skip
    first.add_job(work, "cron", hour=3, args=["nightly", b""], id="nightly")
    first.pause_job("nightly")
    kept = sorted(job.id for job in first.get_jobs())
    first.shutdown()
    second = scheduler()
    executed = []
    second.add_listener(lambda event: executed.append(event.job_id), EVENT_JOB_EXECUTED)
    second.start()
    assert done.wait(60)
    second.remove_job("nightly")
    second.shutdown(wait=True)
    third = scheduler()
    third.start(paused=True)
    left = [job.id for job in third.get_jobs()]
    third.shutdown()
    print(json.dumps([kept, sorted(ran), sorted(executed), left]))
