"""Operators' page of what did not arrive: webhook endpoints of senders, and opt-outs that EMRs did not take, each to be tried again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from store.audit.audit_log import Audit
from store.domain.ids import shown
from store.domain.write_back import WriteBackState
from store.errors import NotFound
from store.patients.preferences import Preferences
from store.patients.webhook_outbox import EndpointState, Outbox, endpoint_states
from store.patients.write_backs import ListedWriteBack, WriteBacks
from store.web.http.work import SyncWork, no_endpoints
from store.web.pages.console import MOST, OPERATORS
from store.web.pages.page import Goto, Page, Shown, Visit

ENABLED, RETRIED = "enabled_webhook", "retried_write_backs"
DONE = {"enabled": "The endpoint is enabled. The waiting messages are being sent to it.", "retried": "The opt-outs will be tried again."}


class OfSource(NamedTuple):
    """The opt-outs that one source's EMR did not take: how many, and the first of them. ``patients``: by the store's id."""

    name: str
    title: str
    number: int
    rows: list[tuple[str, ListedWriteBack]]


class Undelivered:
    """The page and its two actions. A visitor sees only their own enterprise."""

    def __init__(self, store: Preferences, work: SyncWork | None) -> None:
        self.store, self.endpoints = store, work.endpoints if work else no_endpoints
        self.write_backs, self.audit = WriteBacks(store.database), Audit(store.database)

    def pages(self) -> Iterable[Page]:
        """The page, and the two actions."""
        yield Page("GET", "/undelivered", OPERATORS, self.show)
        yield Page("POST", "/undelivered/webhooks/{endpoint:str}", OPERATORS, self.enable)
        yield Page("POST", "/undelivered/write-backs/{source:str}", OPERATORS, self.retry)

    def show(self, visit: Visit) -> Shown:
        """Shows the endpoints, and the opt-outs by source."""
        values = {
            "title": "Undelivered",
            "endpoints": self._states(visit),
            "sources": self._sources(visit),
            "done": DONE.get(visit.query.get("done", ""), ""),
        }
        return Shown("undelivered.html", values)

    def enable(self, visit: Visit) -> Goto:
        """Sends to an endpoint again, from where it stopped."""
        endpoint = visit.path["endpoint"]
        if self.endpoints().get(endpoint) != visit.enterprise:
            raise NotFound("this enterprise has no such webhook endpoint")
        waiting = Outbox(self.store, endpoint, visit.enterprise).enable(visit.now)
        self.audit.note(visit.enterprise, ENABLED, endpoint, actor=str(visit.actor), now=visit.now, messages=waiting)
        return Goto("/undelivered?done=enabled")

    def retry(self, visit: Visit) -> Goto:
        """Tries the opt-outs of a source again that its EMR did not take."""
        source = visit.path["source"]
        if self.store.enterprises[visit.enterprise].source(source) is None:
            raise NotFound("this enterprise has no such source")
        number = self.write_backs.revive(source, visit.enterprise, visit.now)
        self.audit.note(visit.enterprise, RETRIED, source, actor=str(visit.actor), now=visit.now, opt_outs=number)
        return Goto("/undelivered?done=retried")

    def _states(self, visit: Visit) -> dict[str, EndpointState]:
        own = sorted(name for name, enterprise in self.endpoints().items() if enterprise == visit.enterprise)
        return endpoint_states(self.store.database, own)

    def _sources(self, visit: Visit) -> list[OfSource]:
        names = {one.name: one.display_name or one.name for one in self.store.enterprises[visit.enterprise].sources}
        dead = {source: number for (enterprise, source), (number, _) in self.write_backs.dead().items() if enterprise == visit.enterprise}
        return [OfSource(name, names[name], dead[name], self._rows(name)) for name in names if name in dead]

    def _rows(self, source: str) -> list[tuple[str, ListedWriteBack]]:
        return [(shown(one.patient), one) for one in self.write_backs.listed([source], WriteBackState.DEAD, MOST)]
