"""The audit log page: who viewed or changed what, newest first."""

from __future__ import annotations

from collections.abc import Iterable

from store.audit.audit_log import SEARCHED, Audit
from store.audit.hash_chain import ChainLine
from store.domain import documents
from store.domain.ids import is_decision_id
from store.domain.lock import Role
from store.patients.preferences import Preferences
from store.web.pages.page import Page, Shown, Visit

AUDITORS = frozenset({Role.AUDITOR})
MOST = 200
PATIENT = "pt_"
SHOWN_DETAILS = ("name", "role", "what", "why", "way", "decision")
"""The parts of an entry's detail that the page shows: which user, key or decision, and why or how."""


class AuditLog:
    """The page."""

    def __init__(self, store: Preferences) -> None:
        self.audit = Audit(store.database)

    def pages(self) -> Iterable[Page]:
        """The page, for auditors."""
        return (Page("GET", "/audit", AUDITORS, self.show),)

    def show(self, visit: Visit) -> Shown:
        """Shows the log, or its entries about one subject (an opaque id)."""
        subject = visit.query.get("subject") or None
        lines = [link.line for link in self.audit.newest(visit.enterprise, subject, MOST)]
        return Shown(
            "audit.html", {"title": "Audit", "lines": lines, "subject": subject, "most": MOST, "patient": PATIENT, "remark": remark}
        )


def remark(line: ChainLine) -> str:
    """A short text of an entry's detail."""
    detail = documents.read(line.detail)
    if line.action == SEARCHED:
        return f"by {', '.join(detail['by'])}; {detail['found']} found".replace("_", " ")
    shown = [str(detail[name]) for name in SHOWN_DETAILS if detail.get(name)]
    return ", ".join(one if is_decision_id(one) else one.replace("_", " ") for one in shown)
