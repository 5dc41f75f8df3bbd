"""Periodic tasks: erasing expired data, attesting the history, recomputing values, checking the database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from store.audit.checkpoints import LEDGERS, Attesting
from store.audit.retention import ChainRetention
from store.audit.verify import heads
from store.db import outage, schema
from store.db.clock_skew import is_noticed
from store.errors import SchemaOutdated
from store.holds.recompute import Recomputation
from store.patients.indexing import Indexing
from store.users.sessions import Sessions
from sync import logs
from sync.runtime import Runtime

EVERY, ATTESTED_EVERY, RESTATED_EVERY, DUE_EVERY, LOOKED_EVERY, FAILURES_EVERY = 3600.0, 10.0, 10.0, 10.0, 30.0, 5.0
Chore = Callable[[], int]
"""Does what is due and returns the number, for the log."""


class Housekeeping:
    """A role of the serving process. ``chores`` by their names in the log. A failure is logged, and the chore runs again next time."""

    def __init__(self, chores: Mapping[str, Chore], every: float = EVERY) -> None:
        self.chores, self.every = chores, every
        self.log: Any = logs.logger()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="housekeeping")

    def start(self) -> None:
        """Runs all chores now and then every ``every`` seconds."""
        self._thread.start()

    def stop(self) -> None:
        """Stops; returns when the chore in progress is done."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def once(self) -> None:
        """Runs every chore once, one after the other."""
        for name, chore in self.chores.items():
            try:
                if done := chore():
                    self.log.info(name, count=done)
            except Exception as error:
                self.log.error(f"not done: {name}", error=logs.place(error))

    def _work(self) -> None:
        while not self._ended.is_set():
            self.once()
            self._ended.wait(self.every)


def chores(runtime: Runtime) -> dict[str, Chore]:
    """The hourly chores. They read the settings each time, since these may be reloaded."""
    clock = runtime.clock
    found: dict[str, Chore] = {"payloads erased": lambda: runtime.journal.rejection_store.erase(clock() - runtime.settings.keep_payloads)}
    found["chain heads logged"] = lambda: _note_heads(runtime)
    sessions = Sessions(runtime.database, idle=runtime.settings.session_idle, longest=runtime.settings.session_longest)
    found["sessions ended"] = lambda: sessions.sweep(clock())
    found["held sets expired"] = lambda: sum(runtime.expire(name) for name in runtime.settings.enterprises)
    found["lines of receipts removed"] = _retention(runtime, "receipts", lambda: runtime.settings.keep_receipts)
    found["lines of audit removed"] = _retention(runtime, "audit", lambda: runtime.settings.keep_audit_log)
    return found


def attestation(runtime: Runtime) -> dict[str, Chore]:
    """Attests the history of the last seconds (``store.audit.checkpoints``). It is not logged, since it runs for every change."""

    def attest() -> int:
        for ledger in LEDGERS.values():
            Attesting(runtime.database, ledger).run(list(runtime.settings.enterprises), runtime.clock())
        return 0

    return {"history attested": attest}


def restatement(runtime: Runtime) -> dict[str, Chore]:
    """Recomputes values in force after a change of the configuration, so that the change feed includes them. Then adds patients from
    before there was a search index to it.
    """
    stopped, enterprises = runtime.engine.stop.is_set, runtime.settings.enterprises
    restating, indexing = Recomputation(runtime.preferences, stopped=stopped), Indexing(runtime.preferences, stopped)
    return {
        "values in force recomputed": lambda: sum(restating.run(name, runtime.clock()) for name in enterprises),
        "patients added to the search index": lambda: sum(map(indexing.run, enterprises)),
    }


def falling_due(runtime: Runtime) -> dict[str, Chore]:
    """Applies periods that began or ended, so that the change feed includes their changes."""
    return {"period changes applied": lambda: sum(runtime.engine.fall_due(name) for name in runtime.settings.enterprises)}


def database_watch(runtime: Runtime) -> dict[str, Chore]:
    """Logs when the database cannot be used or its clock differs, for operators who do not monitor ``/readyz``."""
    log = logs.logger()

    def check() -> int:
        try:
            schema.check(runtime.database)
            skew = runtime.database.compare_clocks()
        except SchemaOutdated as error:
            log.error("the database cannot be used", why=str(error))
            return 0
        except Exception as error:
            log.error("the database cannot be used", why=outage.explanation(error) or logs.place(error))
            return 0
        if is_noticed(skew):
            log.warning("this machine's clock differs from the database's", seconds=round(skew.total_seconds(), 3))
        return 0

    return {"database checked": check}


def source_watch(runtime: Runtime) -> dict[str, Chore]:
    """Logs when a source becomes stale and when it delivers data again. While the database is away, the other watch says so."""
    log, stale = logs.logger(), set[str]()

    def look() -> int:
        try:
            found = runtime.preferences.freshness.stale(runtime.preferences.enterprises.values(), runtime.clock())
        except Exception as error:
            if not outage.explanation(error):
                raise
            return 0
        for source, is_stale in found.items():
            if is_stale and source not in stale:
                log.warning("no data from a source for longer than its freshness", source=source)
                stale.add(source)
            elif not is_stale and source in stale:
                log.info("data from a source again", source=source)
                stale.remove(source)
        return 0

    return {"sources checked": look}


def failure_watch(runtime: Runtime) -> dict[str, Chore]:
    """Logs what failed, once a minute for each kind: an outage may be over before anybody else looks."""
    log = logs.logger()

    def look() -> int:
        runtime.look_at_memory()
        for one, event in ((runtime.database.failures, "the database could not be used"), (runtime.memory, "memory is short")):
            if state := one.untold():
                log.warning(event, failures=state.count, since=state.since.isoformat(), reason=state.reason)
        return 0

    return {"failures logged": look}


def _note_heads(runtime: Runtime) -> int:
    """Logs each chain's head, so that a log server keeps what the database alone cannot prove (docs/proof.md)."""
    for head in heads(runtime.database):
        logs.logger().info("head of chain", enterprise=head.enterprise, chain=head.chain, lines=head.number, hash=head.hash)
    return 0  # already logged


def _retention(runtime: Runtime, name: str, keep: Callable[[], timedelta | None]) -> Chore:
    """Retention of a chain, by whole days, so that the chain is not cut every hour. Without a period everything is kept."""
    retention = ChainRetention(runtime.database, name)

    def remove() -> int:
        now, period = runtime.clock(), keep()
        return 0 if period is None else retention.run(_midnight(now - period), now)

    return remove


def _midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)
