"""Finds a stored decision by its id: what was asked, what was answered, and why."""

from __future__ import annotations

from collections.abc import Iterable

from store.audit.audit_log import Audit
from store.audit.receipts import Receipts
from store.domain import documents
from store.domain.ids import is_decision_id
from store.domain.lock import Role
from store.errors import NotFound
from store.patients.preferences import Preferences
from store.web.pages.page import Goto, Page, Shown, Visit
from store.web.pages.told import told

READERS = frozenset({Role.ENTERPRISE, Role.MANAGER, Role.STAFF, Role.AUDITOR})


class DecisionPages:
    """The pages. A decision's id is opaque, so it may be in the URL."""

    def __init__(self, store: Preferences) -> None:
        self.store, self.receipts, self.audit = store, Receipts(store.database), Audit(store.database)

    def pages(self) -> Iterable[Page]:
        """All pages."""
        return (
            Page("GET", "/decisions", READERS, self.search_form),
            Page("POST", "/decisions", READERS, self.find),
            Page("GET", "/decisions/{decision_id:str}", READERS, self.decision),
        )

    def search_form(self, visit: Visit) -> Shown:
        """The form to find a decision."""
        return self._form(visit, "", 200)

    def find(self, visit: Visit) -> Shown | Goto:
        """Redirects to the decision with the id in the form."""
        wanted = visit.form.get("id", "")
        if not is_decision_id(wanted):
            return self._form(visit, "Enter a decision ID: it begins with dec_.", 422, wanted)
        return Goto(f"/decisions/{wanted}")

    def decision(self, visit: Visit) -> Shown:
        """Shows a decision as it was answered."""
        wanted = visit.path["decision_id"]
        try:
            link = self.receipts.viewed(visit.enterprise, wanted, self.audit, str(visit.actor), visit.now)
        except NotFound:
            return self._form(visit, self._why_missing(visit), 404, wanted)
        line, enterprise = link.line, self.store.enterprises[visit.enterprise]
        values = {"title": "Decision", "told": told(documents.read(line.detail), enterprise), "line": line, "number_of_entry": link.number}
        return Shown("decision.html", values)

    def _why_missing(self, visit: Visit) -> str:
        if self.store.settings.get(visit.enterprise).policy.decision_receipts:
            return "No decision with this ID is stored. Questions asked on a facesheet are only in the audit log."
        return "No decision with this ID is stored: this enterprise does not store decisions (decision_receipts is off)."

    def _form(self, visit: Visit, message: str, status: int, wanted: str = "") -> Shown:
        return Shown("find_decision.html", {"title": "Find a decision", "message": message, "wanted": wanted}, status)
