"""A clock: asks the queue to do the work at the times that were configured. The only importer of APScheduler."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.interval import IntervalTrigger

from sync.config.settings import Feed, Schedule
from sync.cron import Cron
from sync.queue import Job

INSTANT = timedelta(microseconds=1)  # a tick that is due at this very moment is due
Ask = Callable[[Job], object]


class Clock:
    """The schedules of all sources. Missed times are made up for once (coalesced), however long the process slept."""

    def __init__(self, feeds: Iterable[Feed], ask: Ask, now: datetime | None = None) -> None:
        self._now = now or datetime.now(UTC)
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
        at_once = {"next_run_time": self._now} if schedule.every and job.kind == "incremental" else {}
        self._scheduler.add_job(ask, trigger(schedule), args=[job], id=f"{job.source}/{job.kind}", **at_once)


def trigger(schedule: Schedule) -> BaseTrigger:
    """The schedule in APScheduler's words."""
    jitter = int(schedule.jitter.total_seconds()) if schedule.jitter else None
    if schedule.every is not None:
        return IntervalTrigger(seconds=schedule.every.total_seconds(), timezone=UTC, jitter=jitter)
    if schedule.cron is None:
        raise ValueError("a schedule needs an interval or a cron line")
    return CronLine(schedule.cron, ZoneInfo(schedule.time_zone), jitter)


class CronLine(BaseTrigger):  # type: ignore[misc]  # the scheduler comes without types
    """A cron line as the scheduler is asked for it; when it ticks is ``sync.cron``'s to say."""

    def __init__(self, cron: Cron, zone: ZoneInfo, jitter: int | None) -> None:
        self.cron, self.zone, self.jitter = cron, zone, jitter

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """The next tick after the last one; jitter puts it off by some seconds, and never onto the tick after."""
        found = self.cron.after(max(previous_fire_time, now - INSTANT) if previous_fire_time else now - INSTANT, self.zone)
        if found is None:
            return None
        put_off: datetime = self._apply_jitter(found.astimezone(UTC), self.jitter, now)
        return put_off.astimezone(self.zone)
