"""The EMR worklist: opt-outs that staff type into EMRs which take no message, as a page and as a file, with a tick when one is done."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from store.audit.audit_log import VIEWED_WORKLIST, Audit
from store.domain.enterprise import Enterprise
from store.domain.ids import parsed, shown
from store.patients.preferences import Preferences
from store.patients.worklist import ToType, Worklist
from store.web.api.opt_out_report import without_formula
from store.web.api.opt_outs import CSV
from store.web.api.replies import DECIDERS
from store.web.api.replies import READERS as READERS
from store.web.pages.page import Download, Goto, Page, Shown, Visit

PATH = "/worklist"
AT_ONCE = 100
FILE = "emr-worklist.csv"
COLUMNS = ("emr", "patient", "identifiers", "opt_out_from", "opted_out_at")
CHANNELS = {"consent.sms": "texts", "consent.voice": "calls", "consent.email": "e-mail"}
DONE = "Marked as typed in."
GONE = "This opt-out is no longer on the list: somebody else typed it in, or the patient opted in again."


class WorklistPage:
    """The page, its file, and the tick."""

    def __init__(self, store: Preferences) -> None:
        self.store, self.worklist, self.audit = store, Worklist(store.database), Audit(store.database)

    def pages(self) -> Iterable[Page]:
        """The list, the list as a file, and the form of the tick."""
        return (
            Page("GET", PATH, READERS, self.show),
            Page("POST", f"{PATH}/file", READERS, self.download),
            Page("POST", f"{PATH}/done", DECIDERS, self.done),
        )

    def show(self, visit: Visit) -> Shown:
        """Shows what is to be typed, the oldest first."""
        return self._shown(visit)

    def download(self, visit: Visit) -> Download:
        """All of it as CSV."""
        found = self.worklist.waiting(self._enterprise(visit))
        self._note(visit, len(found))
        return Download(as_csv(found).encode(), CSV, FILE)

    def done(self, visit: Visit) -> Shown | Goto:
        """Ticks one off."""
        form = visit.form
        patient, source, attribute = parsed(form.get("patient", "")), form.get("source", ""), form.get("attribute", "")
        if patient is None or not self.worklist.done(self._enterprise(visit), source, patient, attribute, actor=visit.actor, now=visit.now):
            return self._shown(visit, GONE, 409)
        return Goto(f"{PATH}?done=1")

    def _shown(self, visit: Visit, refusal: str = "", status: int = 200) -> Shown:
        enterprise = self._enterprise(visit)
        waiting = self.worklist.waiting(enterprise, AT_ONCE)
        self._note(visit, len(waiting))
        values = {
            "title": "EMR worklist",
            "waiting": [(one, shown(one.patient), CHANNELS[one.attribute]) for one in waiting],
            "count": self.worklist.count(enterprise),
            "may_tick": visit.visitor.role in DECIDERS,
            "refusal": refusal,
            "done": DONE if visit.query.get("done") else "",
        }
        return Shown("worklist.html", values, status)

    def _enterprise(self, visit: Visit) -> Enterprise:
        return self.store.enterprises[visit.enterprise]

    def _note(self, visit: Visit, count: int) -> None:
        self.audit.note(visit.enterprise, VIEWED_WORKLIST, "", actor=str(visit.actor), now=visit.now, opt_outs=count)


def as_csv(found: Iterable[ToType]) -> str:
    """The list as CSV (RFC 4180)."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(COLUMNS)
    for one in found:
        names = " ".join(f"{name.type or name.authority}:{name.value}" for name in one.names)
        at = one.stated.isoformat(timespec="seconds").replace("+00:00", "Z")
        cells = (one.display_name, shown(one.patient), names, CHANNELS[one.attribute], at)
        table.writerow([without_formula(cell) for cell in cells])
    return text.getvalue()
