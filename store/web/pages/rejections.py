"""Operators' pages of rejections: the causes, the list, one rejection with masked content, and its replay."""

from __future__ import annotations

from collections.abc import Iterable

from store.errors import PayloadUnreadable, StoreError
from store.patients.preferences import Preferences
from store.preference import RecordOutcome
from store.runs.causes import Causes
from store.runs.runs import Journal, RejectionStatus
from store.web.http.problem import problem_of
from store.web.http.work import SyncWork
from store.web.pages.causes import ShownCause, shown_causes
from store.web.pages.console import MOST, OPERATORS, own_rejection
from store.web.pages.masking import masked
from store.web.pages.page import Goto, Page, Shown, Visit

MOST_CAUSES = 25
DONE = {
    "applied": "The rejection was replayed and its data was applied.",
    "replayed": "The rejection was replayed.",
}


class RejectionPages:
    """The pages. A visitor sees only their own enterprise."""

    def __init__(self, store: Preferences, journal: Journal, work: SyncWork | None) -> None:
        self.store, self.journal, self.work = store, journal, work

    def pages(self) -> Iterable[Page]:
        """All pages; the replay only if ``work`` is available."""
        yield Page("GET", "/rejections", OPERATORS, self.rejections)
        yield Page("GET", "/rejections/{rejection_id:str}", OPERATORS, self.rejection)
        if self.work is not None:
            yield Page("POST", "/rejections/{rejection_id:str}/replay", OPERATORS, self.replay)

    def rejections(self, visit: Visit) -> Shown:
        """Lists rejections, all or of one source or reason, below their causes."""
        status, source, reason = (visit.query.get(name) or None for name in ("status", "source", "reason"))
        wanted = None if status == "all" else RejectionStatus.OPEN
        found = self.journal.rejection_store.rejections(visit.enterprise, source, wanted, MOST, reason)
        values = {
            "title": "Rejections",
            "rejections": found,
            "causes": [] if reason else self._causes(visit.enterprise, source),
            "most_causes": MOST_CAUSES,
            "status": status or RejectionStatus.OPEN,
            "source": source,
            "reason": reason,
            "most": MOST,
        }
        return Shown("rejections.html", values)

    def rejection(self, visit: Visit) -> Shown:
        """Shows one rejection with masked content."""
        return self._rejection(visit)

    def replay(self, visit: Visit) -> Shown | Goto:
        """Replays one rejection."""
        one = own_rejection(self.journal, visit)
        try:
            outcome = self.work.replay(one.id, visit.visitor.name) if self.work else {}
        except StoreError as error:
            problem = problem_of(error)
            return self._rejection(visit, problem.detail, int(problem.status))
        if outcome.get("outcome") == RecordOutcome.REJECTED:
            return self._rejection(visit, f"Still not usable: {outcome.get('detail') or outcome.get('reason')}", 409)
        return Goto(f"/rejections/{one.id}?done={RecordOutcome.APPLIED if outcome.get('outcome') == RecordOutcome.APPLIED else 'replayed'}")

    def _rejection(self, visit: Visit, refusal: str = "", status: int = 200) -> Shown:
        one = own_rejection(self.journal, visit)
        try:
            content, why = masked(self.journal.rejection(one.id).payload), ""
        except PayloadUnreadable as error:
            content, why = "", str(error)
        values = {"title": "Rejection", "one": one, "content": content, "why": why, "refusal": refusal, "may_replay": self.work is not None}
        return Shown("rejection.html", {**values, "done": DONE.get(visit.query.get("done", ""), "")}, status)

    def _causes(self, enterprise: str, source: str | None) -> list[ShownCause]:
        return shown_causes(self.store, self.journal, enterprise, Causes(self.store.database).open(enterprise, source, MOST_CAUSES))
