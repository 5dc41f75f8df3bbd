"""Operators' page of a run: its counts while it is in progress, and its held changes to approve or reject."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from store.domain.lock import Actor
from store.domain.policies import SETTINGS
from store.errors import NotFound, StoreError
from store.holds.review import WITHOUT_RECORDS, HeldReview, HeldSet
from store.patients.preferences import Preferences
from store.preference import RecordOutcome
from store.runs.runs import Journal
from store.web.http.problem import problem_of
from store.web.http.work import SyncWork
from store.web.pages import labels
from store.web.pages.console import OPERATORS
from store.web.pages.page import Goto, Page, Shown, Visit

DONE = {
    "resync": "The resync has started.",
    "approved": "The held changes were approved and are in effect.",
    "rejected": "The held changes were rejected. Nothing else changes.",
}


class RunPages:
    """The page and its two decisions. A visitor sees only their own enterprise.

    ``decided`` is called after each: settings may have changed.
    """

    def __init__(self, store: Preferences, journal: Journal, work: SyncWork | None, decided: Callable[[], None]) -> None:
        self.store, self.work, self.verdicts, self.decided = store, work, HeldReview(store, journal), decided

    def pages(self) -> Iterable[Page]:
        """The page, and the two decisions."""
        yield Page("GET", "/runs/{run_id:str}", OPERATORS, self.run)
        yield Page("POST", "/runs/{run_id:str}/approve", OPERATORS, self.approve)
        yield Page("POST", "/runs/{run_id:str}/reject", OPERATORS, self.reject)

    def run(self, visit: Visit) -> Shown:
        """Shows one run and its held changes."""
        return self._run(visit)

    def approve(self, visit: Visit) -> Shown | Goto:
        """Approves the run's held changes."""
        return self._decide(visit, self.verdicts.approve, "approved")

    def reject(self, visit: Visit) -> Shown | Goto:
        """Rejects the run's held changes."""
        return self._decide(visit, self.verdicts.reject, "rejected")

    def _run(self, visit: Visit, refusal: str = "", status: int = 200) -> Shown:
        found = self._held(visit)
        run, source = found.run, self.store.enterprises[visit.enterprise].source(found.run.source)
        values = {
            "title": "Run",
            "found": found,
            "run": run,
            "records": sum(run.counts.get(outcome, 0) for outcome in RecordOutcome),
            "took": labels.span((run.finished or visit.now) - run.started),
            "source_title": (source.display_name if source else "") or ("" if run.kind in WITHOUT_RECORDS else run.source),
            "setting_titles": {name: one.title for name, one in SETTINGS.items()},
            "choice_titles": {(name, choice.text): choice.title for name, one in SETTINGS.items() for choice in one.choices},
            "refusal": refusal,
            "done": DONE.get(visit.query.get("done", ""), ""),
        }
        return Shown("run.html", values, status, part="run_live.html")

    def _decide(self, visit: Visit, verdict: Callable[[str, Actor, datetime], HeldSet], done: str) -> Shown | Goto:
        run = self._held(visit).run
        try:
            if self.work is not None:
                self.work.expire(visit.enterprise)
            verdict(run.id, visit.actor, visit.now)
        except StoreError as error:
            problem = problem_of(error)
            return self._run(visit, problem.detail, int(problem.status))
        self.decided()
        return Goto(f"/runs/{run.id}?done={done}")

    def _held(self, visit: Visit) -> HeldSet:
        found = self.verdicts.show(visit.path["run_id"])
        if found.run.enterprise != visit.enterprise:
            raise NotFound("this enterprise has no such run")
        return found
