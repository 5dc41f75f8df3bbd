"""Tells people about what waits for them, and about silent sources (``alerts`` in the configuration).

The role work looks every half minute. What was told is in the database, so that neither a restart nor a second process tells it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from store.db import outage
from store.holds.waiting import Waits
from store.runs.alerts import AlertSubject, SentAlerts
from sync import logs, notifying
from sync.alerting import Line, WaitingCount, delivered, message, step, tried
from sync.housekeeping import Chore
from sync.runtime import Runtime

EVERY = 30.0
LOCK = "alerts"
FORGOTTEN = timedelta(days=90)
"""Longer than the longest ``repeat``."""
FAILED = "an alert could not be delivered: check alerts.to with emr-sync alerts test; it is tried again"
Send = Callable[[str, str, str], bool]
"""(address, title, text) -> whether it was accepted."""


class Alerts:
    """``send`` delivers one message to one address."""

    def __init__(self, runtime: Runtime, send: Send = notifying.send) -> None:
        self.runtime, self.send, self.sent = runtime, send, SentAlerts(runtime.database)

    def once(self) -> None:
        """Tells each target what it does not know yet."""
        settings = self.runtime.settings.alerts
        targets = {target_of(url): url for url in settings.to}
        self._forget_others(targets)
        if not targets:
            return
        waiting = {subject: one for subject, one in now_waiting(self.runtime).items() if subject.kind in settings.about}
        for target, url in targets.items():
            self._tell(target, url, waiting)

    def _tell(self, target: str, url: str, waiting: dict[AlertSubject, WaitingCount]) -> None:
        lines = self._begin(target, waiting)
        if not lines:
            return
        if not self.send(url, *message(lines)):
            self.runtime.undelivered.add(FAILED)
            logs.logger().error("an alert could not be delivered", to=kind_of(url), alerts=len(lines), attempts=lines[0].alert.attempts + 1)
            return
        kept, over = delivered(lines, self.runtime.clock())
        with self.runtime.database.write(LOCK) as transaction:
            self.sent.save(transaction, kept)
            self.sent.remove(transaction, over)

    def _begin(self, target: str, waiting: dict[AlertSubject, WaitingCount]) -> list[Line]:
        """What to tell now. It is noted as tried before it is sent, so that no other process sends it, too."""
        now, repeat = self.runtime.clock(), self.runtime.settings.alerts.repeat
        found = step(target, self.sent.read(), waiting, now, repeat)
        if not found.lines and not found.forget:
            return []
        with self.runtime.database.write(LOCK) as transaction:
            found = step(target, self.sent.read_in(transaction), waiting, now, repeat)
            self.sent.save(transaction, tried(found.lines, now))
            self.sent.remove(transaction, found.forget)
        return list(found.lines)

    def _forget_others(self, targets: Collection[str]) -> None:
        """Forgets, in the end, what was told to addresses that are not configured. Not at once: another process may still have them."""
        before = self.runtime.clock() - FORGOTTEN
        others = [one for one in self.sent.read() if one.target not in targets and (one.tried or one.since) < before]
        if others:
            with self.runtime.database.write(LOCK) as transaction:
                self.sent.remove(transaction, others)


def alerting(runtime: Runtime) -> dict[str, Chore]:
    """The chore. While the database is away, other checks say so."""
    alerts = Alerts(runtime)

    def look() -> int:
        try:
            alerts.once()
        except Exception as error:
            if not outage.explanation(error):
                raise
        return 0

    return {"alerts sent": look}


def now_waiting(runtime: Runtime) -> dict[AlertSubject, WaitingCount]:
    """Everything that people are told about, as it is now: several things of one subject together."""
    found: dict[AlertSubject, WaitingCount] = {}
    endpoints = {name: one.enterprise for name, one in runtime.settings.webhooks.items()}
    enterprises = [runtime.preferences.enterprises[name] for name in runtime.settings.enterprises]
    for one in Waits(runtime.preferences, endpoints).everything(enterprises, runtime.clock()):
        subject = AlertSubject(one.kind, one.enterprise, one.source)
        number, since = found.get(subject, WaitingCount(0, one.since))
        found[subject] = WaitingCount(number + one.number, _earlier(since, one.since))
    return found


def target_of(url: str) -> str:
    """A name of an address that tells nothing of it."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def kind_of(url: str) -> str:
    """The part of an address that may be shown."""
    return url.partition("://")[0]


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min(filter(None, (one, other)), default=None)
