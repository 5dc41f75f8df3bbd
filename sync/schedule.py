"""A clock: asks the queue to do the work at the times that were configured. The only importer of APScheduler."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from sync.config.settings import Feed, Schedule
from sync.queue import Job

Ask = Callable[[Job], object]


class Clock:
    """The schedules of all sources. Missed times are made up for once (coalesced), however long the process slept."""

    def __init__(self, feeds: Iterable[Feed], ask: Ask) -> None:
        self._scheduler = BackgroundScheduler(timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None})
        for feed in feeds:
            self._add(feed.schedule, Job(feed.name, "incremental"), ask)
            self._add(feed.full_resync, Job(feed.name, "full"), ask)

    def start(self) -> None:
        """Starts ticking. Sources that are read every so often are read at once, the first time."""
        self._scheduler.start()

    def stop(self) -> None:
        """No further ticks."""
        self._scheduler.shutdown(wait=True)

    def next_times(self) -> dict[Job, datetime]:
        """When each job is asked for next."""
        return {job.args[0]: job.next_run_time for job in self._scheduler.get_jobs()}

    def _add(self, schedule: Schedule | None, job: Job, ask: Ask) -> None:
        if schedule is None:
            return
        at_once = {"next_run_time": datetime.now(UTC)} if schedule.every and job.kind == "incremental" else {}
        self._scheduler.add_job(ask, trigger(schedule), args=[job], id=f"{job.source}/{job.kind}", **at_once)


def trigger(schedule: Schedule) -> BaseTrigger:
    """The schedule in APScheduler's words."""
    jitter = int(schedule.jitter.total_seconds()) if schedule.jitter else None
    if schedule.every is not None:
        return IntervalTrigger(seconds=schedule.every.total_seconds(), timezone=UTC, jitter=jitter)
    if schedule.cron is None:
        raise ValueError("a schedule needs an interval or a cron line")
    return CronTrigger(**schedule.cron._asdict(), timezone=ZoneInfo(schedule.time_zone), jitter=jitter)
