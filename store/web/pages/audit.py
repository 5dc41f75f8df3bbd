"""The audit log as a page: who saw or changed what, the newest line first."""

from __future__ import annotations

from collections.abc import Iterable

from store.audit.audit_log import Audit
from store.audit.hash_chain import ChainLine
from store.domain import documents
from store.domain.lock import Role
from store.patients.preferences import Preferences
from store.web.pages.page import Page, Shown, Visit

AUDITORS = frozenset({Role.AUDITOR})
MOST = 200
PATIENT = "pt_"
TOLD = ("name", "role", "what", "why", "way")
"""What a line's detail says that people want to read at once: which user or key, and why or how."""


class AuditLog:
    """The page, for auditors."""

    def __init__(self, store: Preferences) -> None:
        self.audit = Audit(store.database)

    def pages(self) -> Iterable[Page]:
        """The one page."""
        return (Page("GET", "/audit", AUDITORS, self.show),)

    def show(self, visit: Visit) -> Shown:
        """The log, or what it says about one subject (an opaque id)."""
        subject = visit.query.get("subject") or None
        lines = [link.line for link in self.audit.newest(visit.enterprise, subject, MOST)]
        return Shown(
            "audit.html", {"title": "Audit", "lines": lines, "subject": subject, "most": MOST, "patient": PATIENT, "remark": remark}
        )


def remark(line: ChainLine) -> str:
    """A line's detail in a few words."""
    detail = documents.read(line.detail)
    return ", ".join(str(detail[name]).replace("_", " ") for name in TOLD if detail.get(name))
