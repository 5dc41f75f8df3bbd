"""The page of unclear replies: what a patient wrote, and the two buttons for the decision."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from store.audit.audit_log import VIEWED_REPLIES, Audit
from store.domain.sms_consent import OPT_OUT, REVIEW
from store.errors import StoreError
from store.patients.preferences import Preferences
from store.patients.replies import APPOINTMENT, DISMISSED, HANDLED
from store.patients.reply_review import DISMISS, HANDLE
from store.web.api.replies import DECIDERS
from store.web.api.replies import READERS as READERS
from store.web.http.problem import problem_of
from store.web.pages.page import Goto, Page, Shown, Visit

AT_ONCE, RECENT, LONGEST = 100, 20, 500
DONE = {
    OPT_OUT: "The reply was recorded as an opt-out.",
    DISMISS: "The reply was dismissed. Texts may be sent again.",
    HANDLE: "The reply was marked as handled.",
}
STATE_NAMES = {OPT_OUT: "opt-out", DISMISSED: "not an opt-out", HANDLED: "handled"}


class RepliesPage:
    """The page of waiting and recently decided replies."""

    def __init__(self, store: Preferences) -> None:
        self.store, self.audit = store, Audit(store.database)

    def pages(self) -> Iterable[Page]:
        """The page, and the form for a decision."""
        return (
            Page("GET", "/replies", READERS, self.show),
            Page("POST", "/replies/{reply_id:str}", DECIDERS, self.decide),
        )

    def show(self, visit: Visit) -> Shown:
        """Shows the replies that wait, newest first."""
        return self._shown(visit)

    def decide(self, visit: Visit) -> Shown | Goto:
        """Records a decision: opt-out, dismissed, or handled."""
        decision, reason = visit.form.get("decision", ""), visit.form.get("reason", "")[:LONGEST]
        details: dict[str, Any] = {"actor": visit.actor, "reason": reason, "now": visit.now}
        try:
            self.store.decide_reply(visit.enterprise, visit.path["reply_id"], decision, **details)
        except StoreError as error:
            problem = problem_of(error)
            return self._shown(visit, problem.detail, int(problem.status))
        return Goto(f"/replies?done={decision}")

    def _shown(self, visit: Visit, refusal: str = "", status: int = 200) -> Shown:
        replies, enterprise = self.store.replies, visit.enterprise
        waiting = replies.some(enterprise, REVIEW, AT_ONCE)
        decided = [one for state in STATE_NAMES for one in replies.some(enterprise, state, RECENT)]
        self.audit.note(enterprise, VIEWED_REPLIES, "", actor=str(visit.actor), now=visit.now, state=REVIEW, replies=len(waiting))
        values = {
            "title": "Replies",
            "waiting": waiting,
            "appointments": replies.some(enterprise, APPOINTMENT, AT_ONCE),
            "count": replies.waiting(enterprise)[REVIEW].number if waiting else 0,
            "decided": sorted(decided, key=lambda one: (one.decided or one.recorded, one.id), reverse=True)[:RECENT],
            "state_names": STATE_NAMES,
            "may_decide": visit.visitor.role in DECIDERS,
            "refusal": refusal,
            "done": DONE.get(visit.query.get("done", ""), ""),
        }
        return Shown("replies.html", values, status)
