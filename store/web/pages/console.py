"""Engineers' pages: sources and how they are, a source, a run with what the brake holds, rejections and their replay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from store.bases import CONFIGURATION
from store.enterprise import Source
from store.errors import PayloadUnreadable, StoreError
from store.held import HELD
from store.journal import OPEN, RUNNING, Journal, Rejection, Run
from store.lock import Actor, Role
from store.preferences import Preferences
from store.verdicts import HeldSet, Verdicts
from store.web.pages.masking import masked
from store.web.pages.page import Goto, Page, Shown, Visit
from store.web.problem import problem_of
from store.web.work import Work

OPERATORS = frozenset({Role.OPERATOR})
RECENT, BARS, MOST = 25, 24, 200
INTAKE = ("applied", "unchanged", "stale", "merged", "held", "rejected")
DONE = {
    "resync": "The resync has begun.",
    "approved": "The held changes are in force.",
    "rejected": "The held changes are refused; what was in force stays.",
    "applied": "The rejection was replayed, and what it says is in force.",
    "replayed": "The rejection was replayed.",
}
Describe = Callable[[str], Sequence[tuple[str, str]]]
"""A source -> its configuration in words, without secrets."""


class State(NamedTuple):
    """A source as the overview shows it. ``state``: fresh, silent, never heard or running."""

    name: str
    title: str
    state: str
    heard: datetime | None
    last: Run | None
    held: int
    rejected: int


class Bar(NamedTuple):
    """One run in the chart: its records, and how high they are of 100."""

    records: int
    height: int
    failed: bool


class Console:
    """The pages. Nothing of another enterprise is ever found."""

    def __init__(self, store: Preferences, journal: Journal, work: Work | None, describe: Describe) -> None:
        self.store, self.journal, self.work, self.describe = store, journal, work, describe
        self.verdicts = Verdicts(store, journal)

    def pages(self) -> Iterable[Page]:
        """All of them; those that need ``sync`` only where it is there."""
        yield Page("GET", "/sources", OPERATORS, self.sources)
        yield Page("GET", "/sources/{source:str}", OPERATORS, self.source)
        yield Page("GET", "/runs/{run_id:str}", OPERATORS, self.run)
        yield Page("POST", "/runs/{run_id:str}/approve", OPERATORS, self.approve)
        yield Page("POST", "/runs/{run_id:str}/reject", OPERATORS, self.reject)
        yield Page("GET", "/rejections", OPERATORS, self.rejections)
        yield Page("GET", "/rejections/{rejection_id:str}", OPERATORS, self.rejection)
        if self.work is not None:
            yield Page("POST", "/sources/{source:str}/resync", OPERATORS, self.resync)
            yield Page("POST", "/rejections/{rejection_id:str}/replay", OPERATORS, self.replay)

    def sources(self, visit: Visit) -> Shown:
        """The enterprise's sources, in order of precedence."""
        states = [self._state(visit, source) for source in self.store.enterprises[visit.enterprise].sources]
        waiting = [one for one in self.verdicts.waiting(visit.enterprise) if one.kind == CONFIGURATION]
        return Shown("sources.html", {"title": "Sources", "sources": states, "waiting": waiting})

    def source(self, visit: Visit) -> Shown:
        """One source."""
        return self._source(visit)

    def resync(self, visit: Visit) -> Shown | Goto:
        """Begins a run of the source."""
        source = self._known(visit)
        try:
            run = self.work.resync(source.name, visit.visitor.name) if self.work else None
        except StoreError as error:
            problem = problem_of(error)
            return self._source(visit, problem.detail, int(problem.status))
        return Goto(f"/runs/{run.id}?done=resync" if run else "/sources")

    def run(self, visit: Visit) -> Shown:
        """One run, and what it holds."""
        return self._run(visit)

    def approve(self, visit: Visit) -> Shown | Goto:
        """Lets through what the run holds."""
        return self._decide(visit, self.verdicts.approve, "approved")

    def reject(self, visit: Visit) -> Shown | Goto:
        """Refuses what the run holds."""
        return self._decide(visit, self.verdicts.reject, "rejected")

    def rejections(self, visit: Visit) -> Shown:
        """What could not be used, and the reasons ranked."""
        status = visit.query.get("status", OPEN)
        found = self.journal.rejections(visit.enterprise, visit.query.get("source"), None if status == "all" else OPEN, MOST)
        values = {"title": "Rejections", "rejections": found, "ranked": ranked(found), "status": status, "most": MOST}
        return Shown("rejections.html", values)

    def rejection(self, visit: Visit) -> Shown:
        """One rejection with its masked content."""
        return self._rejection(visit)

    def replay(self, visit: Visit) -> Shown | Goto:
        """Tries one again."""
        one = self._summary(visit)
        try:
            outcome = self.work.replay(one.id, visit.visitor.name) if self.work else {}
        except StoreError as error:
            problem = problem_of(error)
            return self._rejection(visit, problem.detail, int(problem.status))
        if outcome.get("outcome") == "rejected":
            return self._rejection(visit, f"Still not usable: {outcome.get('detail') or outcome.get('reason')}", 409)
        return Goto(f"/rejections/{one.id}?done={'applied' if outcome.get('outcome') == 'applied' else 'replayed'}")

    def _state(self, visit: Visit, source: Source) -> State:
        heard = self.store.freshness.last_heard(visit.now).get(source.name)
        stale = self.store.freshness.ages(self.store.enterprises[visit.enterprise], visit.now)(source.name).stale
        runs = self.journal.runs(visit.enterprise, source.name, RECENT)
        held = sum(self.verdicts.show(run.id).patients for run in runs if run.status == HELD)
        rejected = len(self.journal.rejections(visit.enterprise, source.name, OPEN, MOST))
        state = "running" if runs and runs[0].status == RUNNING else "never heard" if heard is None else "silent" if stale else "fresh"
        return State(source.name, source.display_name or source.name, state, heard, runs[0] if runs else None, held, rejected)

    def _source(self, visit: Visit, refusal: str = "", status: int = 200) -> Shown:
        source = self._known(visit)
        runs = self.journal.runs(visit.enterprise, source.name, RECENT)
        return Shown(
            "source.html",
            {
                "title": source.display_name or source.name,
                "source": self._state(visit, source),
                "about": self.describe(source.name),
                "runs": runs,
                "bars": bars(runs[:BARS]),
                "may_resync": self.work is not None,
                "live": any(run.status == RUNNING for run in runs),
                "refusal": refusal,
            },
            status,
        )

    def _run(self, visit: Visit, refusal: str = "", status: int = 200) -> Shown:
        found = self._held(visit)
        done = DONE.get(visit.query.get("done", ""), "")
        source = self.store.enterprises[visit.enterprise].source(found.run.source)
        title = (source.display_name if source else "") or ("" if found.run.kind == CONFIGURATION else found.run.source)
        values = {"title": "Run", "found": found, "run": found.run, "source_title": title, "refusal": refusal, "done": done}
        return Shown("run.html", values, status)

    def _decide(self, visit: Visit, verdict: Callable[[str, Actor, datetime], HeldSet], done: str) -> Shown | Goto:
        run = self._held(visit).run
        try:
            verdict(run.id, visit.actor, visit.now)
        except StoreError as error:
            problem = problem_of(error)
            return self._run(visit, problem.detail, int(problem.status))
        return Goto(f"/runs/{run.id}?done={done}")

    def _rejection(self, visit: Visit, refusal: str = "", status: int = 200) -> Shown:
        one = self._summary(visit)
        try:
            content, why = masked(self.journal.rejection(one.id).payload), ""
        except PayloadUnreadable as error:
            content, why = "", str(error)
        values = {"title": "Rejection", "one": one, "content": content, "why": why, "refusal": refusal, "may_replay": self.work is not None}
        return Shown("rejection.html", {**values, "done": DONE.get(visit.query.get("done", ""), "")}, status)

    def _known(self, visit: Visit) -> Source:
        source = self.store.enterprises[visit.enterprise].source(visit.path["source"])
        if source is None:
            raise StoreError("this enterprise has no such source")
        return source

    def _held(self, visit: Visit) -> HeldSet:
        found = self.verdicts.show(visit.path["run_id"])
        if found.run.enterprise != visit.enterprise:
            raise StoreError("this enterprise has no such run")
        return found

    def _summary(self, visit: Visit) -> Rejection:
        """Looked for without its payload: it is to be seen also where that does not open."""
        one = self.journal.quarantine.summary(visit.path["rejection_id"])
        if one.enterprise != visit.enterprise:
            raise StoreError("this enterprise has no such rejection")
        return one


def bars(runs: Sequence[Run]) -> list[Bar]:
    """The chart of what runs took in, the oldest first."""
    records = [sum(run.counts.get(outcome, 0) for outcome in INTAKE) for run in runs]
    most = max(records, default=0) or 1
    found = [Bar(count, max(2, round(100 * count / most)), run.status == "failed") for count, run in zip(records, runs, strict=True)]
    return found[::-1]


def ranked(rejections: Sequence[Rejection]) -> list[tuple[str, str, int]]:
    """Reason and path, with how often it came; the most frequent first."""
    counts: dict[tuple[str, str], int] = {}
    for one in rejections:
        counts[one.reason, one.path] = counts.get((one.reason, one.path), 0) + one.times
    return sorted(((*key, times) for key, times in counts.items()), key=lambda row: -row[2])[:10]
