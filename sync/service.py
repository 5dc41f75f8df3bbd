"""The serving process: builds the chosen roles, starts them, and stops them cleanly.

``api`` answers senders, ``schedule`` queues runs, ``work`` does them, ``listen`` receives messages from EMRs. On PostgreSQL each may
be a process of its own. On SQLite schedules are in memory, so the process that has them also does the runs.

Runs take the interpreter from those who wait for an answer, so ``serve`` does them in a child process (``sync.child``).
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import reduce
from queue import SimpleQueue
from typing import NamedTuple

from adapters.address import Address
from adapters.registry import LISTENERS
from store.runs.processes import Place
from store.runs.schedule_times import ScheduleTimes
from sync import alerts, descriptors, logs, pace, process_report, scheduled_exports, service_manager, tracing, webhooks, write_back
from sync.alerts import alerting
from sync.api import api_counts, asked_readiness, build_api, build_monitoring, share
from sync.api_processes import ApiProcesses
from sync.child import Child
from sync.config import Settings, plain
from sync.config.database import is_open_to_others
from sync.config.plain import Exposed
from sync.config.problems import dotted
from sync.config.settings import ConnectionLimits
from sync.housekeeping import (
    ATTESTED_EVERY,
    DUE_EVERY,
    FAILURES_EVERY,
    LOOKED_EVERY,
    RESTATED_EVERY,
    Housekeeping,
    attestation,
    chores,
    database_watch,
    failure_watch,
    falling_due,
    restatement,
    source_watch,
)
from sync.listening import Listening
from sync.measuring import report
from sync.presence import Presence
from sync.process_report import ProcessReport
from sync.push_reader import PushReader
from sync.questions import Questions
from sync.queue import Depth, Job, LocalQueue, Queue
from sync.queue_requested import RequestQueue, RequestTaker, WorkerQueue
from sync.reload import Reloading, Request
from sync.roles import REFUSED, ListenRole, ServiceRole, WebRole
from sync.runtime import ROLES, Runtime, UsageError
from sync.schedule import Clock, nothing_is_lost
from sync.scheduled_exports import exports_written
from sync.signals import sleep_until
from sync.webhooks import webhooks_sent
from sync.worker import Watch, Worker
from sync.write_back import write_backs_sent

API = "api"
FOR_METRICS = ConnectionLimits(connections=32, per_address=8)
QUEUEING = frozenset({"api", "schedule"})
ANSWERING, WORKING = frozenset({"api", "listen"}), frozenset({"schedule", "work"})


def roles_of_child(roles: Collection[str]) -> frozenset[str]:
    """The roles that a child process has: those around runs, where this process also answers somebody."""
    wanted = frozenset(roles)
    return wanted & WORKING if "work" in wanted and wanted & ANSWERING else frozenset()


class Inherited(NamedTuple):
    """What a further process of the API has from the first one: the socket to accept from, and whom to ask (``sync.api_processes``)."""

    listening: socket.socket
    questions: Questions


class Service:
    """All roles of this process. ``start``, then ``wait``, then ``stop``."""

    def __init__(
        self,
        runtime: Runtime,
        roles: Collection[str] = ROLES,
        watch: Watch | None = None,
        ended: threading.Event | None = None,
        reloads: SimpleQueue[Request] | None = None,
        metrics_at: Address | None = None,
        child: Collection[str] = (),
        processes: int = 1,
        inherited: Inherited | None = None,
    ) -> None:
        self.runtime, self.wanted, self.metrics_at = runtime, frozenset(roles).difference(child), metrics_at
        if unknown := self.wanted.difference(ROLES):
            raise UsageError(f"unknown role {sorted(unknown)[0]!r}; use {', '.join(ROLES)}")
        self.log = logs.logger()
        self.ended = ended or threading.Event()
        self.failure: str | None = None
        self.worker = Worker(runtime, watch)
        self._queue_worker: ServiceRole | None = None
        self.child = Child(runtime, child, self.fail) if child else None
        self.inherited, self.api_counts = inherited, api_counts(runtime, is_first=inherited is None)
        self.api_processes = ApiProcesses(runtime, processes - 1, self.fail, self.api_counts.look_ups) if processes > 1 else None
        self._children = [one for one in (self.child, self.api_processes) if one]
        runtime.beside = lambda: reduce(process_report.added, (one.report() for one in self._children), ProcessReport())
        self.queue = self._queue()
        self.listening = Listening(runtime, self.fail) if "listen" in self.wanted else None
        self.web: WebRole | None = None
        self.monitoring: WebRole | None = None
        self.presence = Presence(runtime, self._places())
        self.reloads: SimpleQueue[Request] = reloads or SimpleQueue()
        self.reloading = Reloading(self.reloads, lambda: self.runtime.settings, self.reload, self._reloaded)
        self._clock: Clock | None = None
        self._started: list[ServiceRole] = []

    @property
    def address(self) -> Address | None:
        """The API's address, once started."""
        return self.web.address if self.web else None

    @property
    def listeners(self) -> list[ListenRole]:
        """The listeners of this process."""
        return list(self.listening.roles.values()) if self.listening else []

    @property
    def url(self) -> str | None:
        """The API's URL, once started."""
        return f"{self.web.scheme}://{self.web.address}" if self.web else None

    def start(self) -> None:
        """Starts every role. If one fails to start, those already started are stopped.

        Raises ``UsageError`` before that if data would cross a network unencrypted without ``plain: true``.
        """
        unencrypted = plain.check(self.runtime.settings, self.metrics_at)
        if API in self.wanted:
            pace.let_answers_pass()
        try:
            for role in self._roles():
                self._started.append(role)
                role.start()
        except BaseException:
            self.stop()
            raise
        self._warn(unencrypted)
        self.log.info("started", roles=sorted(self.wanted), sources=list(self.runtime.settings.feeds))

    def _warn(self, unencrypted: Iterable[Exposed]) -> None:
        """Logs in short what ``check-config`` explains."""
        for one in unencrypted:
            self.log.warning("data crosses the network unencrypted", setting=dotted(one.where))
        if is_open_to_others(self.runtime.settings.database):
            self.log.warning("other users can read the database file; run chmod 600 on it")

    def reload(self, settings: Settings) -> None:
        """Uses changed settings from now on. Raises ``UsageError`` before anything is changed if a listener could not listen.

        Connections stay open, except those of listeners that need another port or other limits. Runs of changed sources end between
        two batches and are requested again.
        """
        if self.listening:
            self.listening.check(settings)
        self.runtime.reload(settings)
        for one in self._children:
            one.tell(settings)
        if self.listening:
            self.listening.reload(self._shares)
        for web in (self.web, self.monitoring):
            if web:
                web.renew(settings)
        if self._clock:
            self._clock.reload(settings.feeds.values())

    def wait(self) -> None:
        """Returns when the service is told to stop, or when a role fails. Meanwhile it tells the service manager that it is alive."""
        service_manager.notify(service_manager.READY)
        sleep_until(self.ended, lambda: service_manager.notify(service_manager.ALIVE), service_manager.watchdog())
        service_manager.notify(service_manager.STOPPING)

    def stop(self) -> None:
        """Drains and stops: no new requests, messages or runs; those in progress are committed and answered."""
        self.ended.set()
        self.runtime.engine.stop.set()
        self.reloading.stop()  # first, so that it starts nothing that would not be stopped
        with ThreadPoolExecutor(max(1, len(self._started)), "stop") as stopping:  # each may wait for a lock: not one after the other
            for stopped in [stopping.submit(role.stop) for role in reversed(self._started)]:
                stopped.result()
        self._started.clear()
        self.queue.close()
        self.log.info("stopped")

    def report(self) -> bytes:
        """What this process tells the one that started it."""
        own_jobs = self.queue if isinstance(self.queue, LocalQueue) else None
        return process_report.written(report(self.runtime, own_jobs, self.api_counts if API in self.wanted else None))

    def fail(self, why: str) -> None:
        """Called when a role cannot continue: the process ends, so that its supervisor notices."""
        self.failure = self.failure or why
        self.ended.set()

    def _queue(self) -> Queue:
        runtime, settings = self.runtime, self.runtime.settings
        if runtime.database.is_sqlite:
            does_runs = not self.wanted.isdisjoint(WORKING)
            return WorkerQueue(self.worker, settings.parallel) if does_runs else RequestQueue(self.worker, self._jobs_beside)
        from sync import queue_shared, queue_tables, queue_worker  # imports procrastinate, which only PostgreSQL needs

        if not self.wanted.isdisjoint({*QUEUEING, "work"}):
            queue_tables.check(runtime.database)
        shared = queue_shared.SharedQueue(runtime.database, self.worker.queued, self.worker, runtime.clock, runtime.engine.stop)
        if "work" in self.wanted:
            self._queue_worker = queue_worker.QueueWorker(shared, self.worker, settings.parallel, settings.silence, runtime.engine.stop)
        return shared

    def _roles(self) -> Iterator[ServiceRole]:
        settings = self.runtime.settings
        yield Housekeeping(database_watch(self.runtime), LOOKED_EVERY)
        sources_watched = {} if self.inherited else source_watch(self.runtime)  # once, however many answer
        yield Housekeeping({**sources_watched, **failure_watch(self.runtime)}, FAILURES_EVERY)
        yield self.presence
        shares = self.listening.limit(self._shares) if self.listening else self._shares({})
        if self.listening:
            yield self.listening
        if "api" in self.wanted:
            yield from self._api(settings.connections.narrowed(shares[API]))
        if self.metrics_at:
            own = replace(settings, listen=self.metrics_at, connections=FOR_METRICS)
            self.monitoring = WebRole(build_monitoring(self.runtime, self.queue), own, self.fail, self._refused, "--metrics")
            self.log.info("metrics are served", address=f"{self.monitoring.scheme}://{self.monitoring.address}")
            yield self.monitoring
        if self._queue_worker:
            yield self._queue_worker
        if isinstance(self.queue, LocalQueue):
            yield RequestTaker(self.runtime, self.queue)
        if "work" in self.wanted:
            yield Housekeeping(chores(self.runtime))
            yield Housekeeping(attestation(self.runtime), ATTESTED_EVERY)
            yield Housekeeping(restatement(self.runtime), RESTATED_EVERY)
            yield Housekeeping(falling_due(self.runtime), DUE_EVERY)
            yield Housekeeping(alerting(self.runtime), alerts.EVERY)
            for webhook in settings.webhooks.values():
                yield Housekeeping(webhooks_sent(self.runtime, webhook), webhooks.EVERY)
            yield Housekeeping(write_backs_sent(self.runtime), write_back.EVERY)
            yield Housekeeping(exports_written(self.runtime), scheduled_exports.EVERY)
            yield PushReader(self.runtime, self.queue.put)
        if "schedule" in self.wanted:
            runtime = self.runtime
            lost = self._lost if runtime.database.is_sqlite else nothing_is_lost
            self._clock = Clock(settings.feeds.values(), self.queue.put, ScheduleTimes(runtime.database), runtime.clock, lost)
            yield self._clock
        if self.child:
            yield self.child
        yield self.reloading

    def _api(self, limits: ConnectionLimits) -> Iterator[ServiceRole]:
        settings = replace(self.runtime.settings, connections=limits)
        if self.inherited:
            shared, listening = self.inherited.questions.shared(), self.inherited.listening
            app = build_api(self.runtime, self.queue, self.api_counts, shared, asked_readiness(shared))
            self.web = WebRole(app, settings, self.fail, self._refused, listening=listening)
        else:
            shared = share(self.runtime, self.queue, self.api_counts)
            self.web = WebRole(build_api(self.runtime, self.queue, self.api_counts, shared), settings, self.fail, self._refused)
        yield self.web
        if self.api_processes:
            yield self.api_processes.accept_from(self.web.socket, shared)

    def _jobs_beside(self) -> tuple[Depth, float]:
        return self.runtime.beside().depth()

    def _refused(self) -> None:
        self.runtime.connections.add(REFUSED.format(reason="api"))

    def _reloaded(self, why_not: str) -> None:
        for one in self._children if why_not else ():
            one.tell(why_not)
        self.presence.reloaded(self._places(), why_not)

    def _shares(self, wanted: Mapping[str, int]) -> Mapping[str, int]:
        """The number of connections that the API and each listener may have. Narrows them if there are fewer than they want."""
        wanted = {**wanted, **({API: self.runtime.settings.connections.connections} if "api" in self.wanted else {})}
        limit = descriptors.available(sum(wanted.values()) + descriptors.OWN)
        shares = descriptors.shares(limit, wanted)
        if shares != wanted:
            self.log.warning(
                "fewer connections than configured: raise the limit of open files (ulimit -n)", limit=limit, connections=shares
            )
        return shares

    def _places(self) -> list[Place]:
        """The places of this process: one per role, and one per source that it listens to."""
        feeds = [one for one in self.runtime.settings.feeds.values() if one.settings.adapter in LISTENERS]
        listening = [Place("listen", one.name, one.enterprise) for one in feeds]
        others = [Place(role) for role in ROLES if role in self.wanted and role != "listen"]
        return others + (listening if "listen" in self.wanted else [])

    def _lost(self, job: Job, asked: datetime) -> bool:
        """Whether a job was lost: a queue inside the process loses waiting jobs when it ends."""
        return self.worker.interrupted.came_to_nothing(*self.worker.lane(job), job.kind, asked, self.runtime.clock())


@contextmanager
def serving(
    settings: Settings,
    roles: Collection[str] = ROLES,
    watch: Watch | None = None,
    ended: threading.Event | None = None,
    reloads: SimpleQueue[Request] | None = None,
    metrics_at: Address | None = None,
    child: Collection[str] = (),
    processes: int = 1,
    inherited: Inherited | None = None,
    *,
    proposes: bool = True,
) -> Iterator[Service]:
    """A started service over the configured database, stopped at the end of the block.

    ``ended`` tells it to stop; ``True`` in ``reloads`` to read the configuration again. ``metrics_at``: an address of this process alone
    for metrics and readiness. ``child``: those of the roles that a child process has. ``processes``: the number of processes that answer;
    ``inherited``: what this one has from the first of them. ``proposes``: whether this process puts its configuration in force.
    """
    runtime = Runtime.open(settings, proposes=proposes)
    try:
        runtime.tracing = tracing.configured(runtime.database)
        service = Service(runtime, roles, watch, ended, reloads, metrics_at, child, processes, inherited)
        service.start()
        try:
            yield service
        finally:
            service.stop()
    finally:
        runtime.close()
