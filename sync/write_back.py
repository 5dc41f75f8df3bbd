"""Writes patients' opt-outs to EMRs: takes them from the outbox, tries again with growing pauses, and reports what never succeeds.

An opt-out is written at least once. If this process dies, another one takes the row after its lease and asks the EMR again, which has it
already or gets it then.
"""

from __future__ import annotations

import random
import time
from datetime import datetime, timedelta
from hashlib import blake2b
from itertools import groupby
from typing import Any

from adapters.base import AdapterError, Refusal, Sink, Unanswered
from store.domain.write_back import WriteBackState
from store.patients.write_backs import WriteBack, WriteBacks
from sync import logs, retry
from sync.config import ConfiguredSource, Settings
from sync.housekeeping import Chore
from sync.runtime import Runtime
from sync.sources import sink

EVERY, FILLED_EVERY = 1.0, 3600.0
LONGEST_PAUSE = timedelta(hours=1)
PROBABLY_AWAY = 3
"""Failures in a row after which a source is left alone."""
NOT_CONFIGURED = "the source's write_back no longer has the attribute, or the source now belongs to another enterprise"
REFUSED, GAVE_UP = "refused by the EMR: {reason}", "given up after {attempts} attempts: {reason}"


class WriteBackSender:
    """Sends the opt-outs of all sources. Several processes may have one."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime, self.outbox = runtime, WriteBacks(runtime.database)
        self.log: Any = logs.logger()
        self._sinks: dict[str, tuple[ConfiguredSource, Sink]] = {}
        self._filled_for: Settings | None = None
        self._filled_at = 0.0

    def run(self) -> int:
        """Fills the outbox, at the start, after a reload and each hour, and sends what is due. Returns how many opt-outs that were."""
        settings, now = self.runtime.settings, time.monotonic()
        if settings is not self._filled_for or now - self._filled_at >= FILLED_EVERY:
            self._filled_for, self._filled_at = settings, now
            self.fill()
        return self.once()

    def once(self) -> int:
        """Sends what is due. Returns how many opt-outs that were."""
        feeds = {name: feed for name, feed in self.runtime.settings.feeds.items() if feed.write_back and not feed.write_back.by_staff}
        due = self.outbox.take(self.runtime.clock(), list(feeds))
        for source, of_source in groupby(sorted(due), lambda one: one.source):
            self._send_all(feeds[source], list(of_source))
        return len(due)

    def fill(self) -> None:
        """Adds opt-outs from before a sink was configured, or before its EMR knew the patient."""
        for name in {feed.enterprise for feed in self.runtime.settings.feeds.values() if feed.write_back}:
            enterprise = self.runtime.preferences.enterprises[name]
            for source, number in self.outbox.unsent(enterprise).items():
                if number:
                    self.log.info("opt-outs will be written to the EMR", source=source, opt_outs=number)
            self.outbox.fill(enterprise, self.runtime.clock())

    def _send_all(self, feed: ConfiguredSource, due: list[WriteBack]) -> None:
        """Sends one source's opt-outs. After several failures in a row that may pass, the others wait too: the EMR is probably away.

        After a single one they do not, so that a Patient whom the EMR cannot save keeps nobody else's opt-out back.
        """
        pause, failures = timedelta(0), 0
        for one in due:
            if failures >= PROBABLY_AWAY or self.runtime.engine.stop.is_set():
                self.outbox.again(one, self.runtime.clock() + pause, "", failed=False, tried=one.tried)
            elif (put_off := self._send(feed, one)) is None:
                pause, failures = timedelta(0), 0
            else:
                pause, failures = put_off, failures + 1

    def _send(self, feed: ConfiguredSource, one: WriteBack) -> timedelta | None:
        """Sends one opt-out. Returns how long the source should be left alone, if it failed for a reason that may pass."""
        if not self.outbox.is_waiting(one):
            return None
        if feed.enterprise != one.enterprise or feed.write_back is None or one.attribute not in feed.write_back.attributes:
            self.outbox.again(one, self.runtime.clock() + LONGEST_PAUSE, NOT_CONFIGURED, failed=False, tried=one.tried)
            return None
        began, refusal = self.runtime.clock(), Refusal(_key(one), one.attribute, self.outbox.names(one), one.stated)
        self.outbox.trying(one, began)
        try:
            is_written = self._sink(feed).write(refusal)
        except AdapterError as error:
            return self._failed(feed, one, error, one.tried or (began if isinstance(error, Unanswered) else None))
        except Exception as error:  # one opt-out that cannot be sent must not keep back all others
            return self._failed(feed, one, AdapterError(f"internal error ({logs.place(error)}); please report this"), one.tried)
        is_ours = is_written or one.tried is not None
        self.outbox.settle(one, WriteBackState.SENT if is_ours else WriteBackState.OWN, "", one.tried or began, self.runtime.clock())
        self.runtime.metrics.written_back.add(feed.name, WriteBackState.SENT)
        return None

    def _failed(self, feed: ConfiguredSource, one: WriteBack, error: AdapterError, tried: datetime | None) -> timedelta | None:
        """Texts of adapters' errors name statuses and codes, never a patient."""
        attempts, gives_up = one.attempts + 1, feed.write_back.give_up_after if feed.write_back else timedelta(0)
        pause = pause_after(attempts, self.runtime.settings.backoff.first_wait, random.random(), error.retry_after)
        is_late = (
            sum((pause_after(number, self.runtime.settings.backoff.first_wait, 0.5) for number in range(1, attempts)), pause) > gives_up
        )
        if not error.permanent and not is_late:
            self.outbox.again(one, self.runtime.clock() + pause, str(error), tried=tried)
            self.runtime.metrics.written_back.add(feed.name, "put_off")
            return pause
        text = (REFUSED if error.permanent else GAVE_UP).format(reason=error, attempts=attempts)
        self.outbox.settle(one, WriteBackState.DEAD, text, tried, self.runtime.clock())
        self.runtime.metrics.written_back.add(feed.name, WriteBackState.DEAD)
        self.log.error("an opt-out was not written to the EMR; see emr-sync write-backs", source=feed.name, reason=text)
        return None if error.permanent else pause

    def _sink(self, feed: ConfiguredSource) -> Sink:
        known = self._sinks.get(feed.name)
        if known is None or known[0] != feed:
            known = self._sinks[feed.name] = (feed, sink(feed))
        return known[1]


def write_backs_sent(runtime: Runtime) -> dict[str, Chore]:
    """The chore."""
    return {"write-backs attempted": WriteBackSender(runtime).run}


def pause_after(attempts: int, first: timedelta, chance: float, retry_after: float | None = None) -> timedelta:
    """The pause after that many failed attempts: doubled each time, up to an hour, and no shorter than the EMR asks for."""
    pause = retry.growing(attempts, first.total_seconds(), LONGEST_PAUSE.total_seconds(), chance)
    return timedelta(seconds=max(pause, retry_after or 0.0))


def _key(one: WriteBack) -> str:
    """The same for each attempt at one opt-out; it reveals nothing about the patient."""
    text = f"{one.source}|{one.patient}|{one.attribute}|{one.stated.isoformat()}"
    return blake2b(text.encode(), digest_size=16, person=b"write-back").hexdigest()
