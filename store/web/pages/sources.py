"""Operators' pages of sources: an overview, and one page per source."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

from store.domain.enterprise import Source
from store.errors import StoreError
from store.holds.configuration import ConfigurationRows
from store.holds.review import HeldReview
from store.patients.preferences import Preferences
from store.patients.write_backs import WriteBacks
from store.runs import source_checks
from store.runs.causes import Causes
from store.runs.open_rejections import number_open
from store.runs.pushed_reads import PushedReads
from store.runs.runs import Journal, Run, RunStatus
from store.runs.source_checks import Agreement, Findings
from store.runs.source_stats import Arrivals
from store.web.http.problem import problem_of
from store.web.http.work import SyncWork
from store.web.pages.about import About
from store.web.pages.causes import shown_causes
from store.web.pages.chart import BarChart, chart
from store.web.pages.console import OPERATORS, RECENT, known_source
from store.web.pages.page import Goto, Page, Shown, Visit
from store.web.pages.waiting import WaitingList

HOURS = 48
REASONS = 10
Describe = Callable[[str], About]
"""A source -> the description of its configuration, without secrets."""


class SourceOverview(NamedTuple):
    """A source in the overview. ``state``: fresh, stale, no data yet or running."""

    name: str
    title: str
    state: str
    last_received: datetime | None
    last: Run | None
    held: int
    rejected: int
    chart: BarChart
    agreement: Agreement | None


class SourcePages:
    """The pages. A visitor sees only their own enterprise."""

    def __init__(self, store: Preferences, journal: Journal, work: SyncWork | None, describe: Describe) -> None:
        self.store, self.journal, self.work, self.describe = store, journal, work, describe
        self.waiting = WaitingList(store, journal)
        self.verdicts, self.arrivals, self.findings = HeldReview(store, journal), Arrivals(store.database), Findings(store.database)

    def pages(self) -> Iterable[Page]:
        """All pages; starting a run only if ``work`` is available."""
        yield Page("GET", "/sources", OPERATORS, self.overview)
        yield Page("GET", "/sources/{source:str}", OPERATORS, self.source)
        if self.work is not None:
            yield Page("POST", "/sources/{source:str}/resync", OPERATORS, self.resync)

    def overview(self, visit: Visit) -> Shown:
        """Shows the enterprise's sources, in order of precedence."""
        database, name = self.store.database, visit.enterprise
        states = [self._state(visit, one, number_open(database, name, one.name)) for one in self.store.enterprises[name].sources]
        with self.store.database.read() as connection:
            held = ConfigurationRows(self.store.database).state(connection, visit.enterprise).held
        return Shown("sources.html", {"title": "Sources", "sources": states, "held": held}, part="sources_live.html")

    def source(self, visit: Visit) -> Shown:
        """Shows one source."""
        return self._source(visit)

    def resync(self, visit: Visit) -> Shown | Goto:
        """Starts a run of the source."""
        source = known_source(self.store, visit)
        try:
            run = self.work.resync(source.name, visit.visitor.name) if self.work else None
        except StoreError as error:
            problem = problem_of(error)
            return self._source(visit, problem.detail, int(problem.status))
        return Goto(f"/runs/{run.id}?done=resync" if run else "/sources")

    def _state(self, visit: Visit, source: Source, rejected: int) -> SourceOverview:
        last_received = self.store.freshness.last_heard(visit.now).get(source.name)
        stale = self.store.freshness.ages(self.store.enterprises[visit.enterprise], visit.now)(source.name).stale
        last = next(iter(self.journal.runs(visit.enterprise, source.name, 1)), None)
        running = last is not None and last.status == RunStatus.RUNNING
        state = "running" if running else "no data yet" if last_received is None else "stale" if stale else "fresh"
        return SourceOverview(
            source.name,
            source.display_name or source.name,
            state,
            last_received,
            last,
            self._held(source.name),
            rejected,
            chart(self.arrivals.hours(visit.enterprise, source.name, now=visit.now, count=HOURS)),
            source_checks.newest(self.store.database, visit.enterprise, source.name),
        )

    def _held(self, source: str) -> int:
        with self.store.database.read() as connection:
            return self.verdicts.held.patients_awaiting_review(connection, source)

    def _source(self, visit: Visit, refusal: str = "", status: int = 200) -> Shown:
        source = known_source(self.store, visit)
        causes, rejected = Causes(self.store.database).of_source(visit.enterprise, source.name, REASONS)
        about = self.describe(source.name)
        values = {
            "title": source.display_name or source.name,
            "source": self._state(visit, source, rejected),
            "freshness": source.freshness,
            "runs": self.journal.runs(visit.enterprise, source.name, RECENT),
            "causes": shown_causes(self.store, self.journal, visit.enterprise, causes),
            "waiting": self.waiting.of_source(visit.enterprise, source, causes, visit.now),
            "check": self.findings.check(source.name, visit.enterprise),
            "about": about,
            "push": PushedReads(self.store.database).record(source.name) if about.is_pushed else None,
            "write_back": WriteBacks(self.store.database).open(source.name) if about.sink else None,
            "may_resync": self.work is not None and not about.listens,
            "refusal": refusal,
        }
        return Shown("source.html", values, status, part="source_live.html")
