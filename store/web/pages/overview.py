"""The operators' overview: everything that waits for a person, the oldest first."""

from __future__ import annotations

from collections.abc import Iterable

from store.patients.preferences import Preferences
from store.runs.runs import Journal
from store.web.http.work import SyncWork, no_endpoints
from store.web.pages.console import OPERATORS
from store.web.pages.page import Page, Shown, Visit
from store.web.pages.waiting import WaitingList


class Overview:
    """The page. A visitor sees only their own enterprise."""

    def __init__(self, store: Preferences, journal: Journal, work: SyncWork | None) -> None:
        self.store, self.waiting = store, WaitingList(store, journal, work.endpoints if work else no_endpoints)

    def pages(self) -> Iterable[Page]:
        """The page, for operators."""
        return (Page("GET", "/overview", OPERATORS, self.show),)

    def show(self, visit: Visit) -> Shown:
        """Shows what waits."""
        found = self.waiting.everything(visit.enterprise, visit.now)
        names = {one.name: one.display_name or one.name for one in self.store.enterprises[visit.enterprise].sources}
        values = {"title": "Overview", "waiting": found, "source_names": names}
        return Shown("overview.html", values, part="overview_live.html")
