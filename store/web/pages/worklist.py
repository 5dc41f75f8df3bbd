"""The EMR worklist: opt-outs that staff type into EMRs which take no message, as a page and as a file,
with a tick when one is done, which can be taken back."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from datetime import datetime

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
AT_ONCE, FEW = 100, 20
FILE = "emr-worklist.csv"
COLUMNS = ("emr", "patient", "identifiers", "opt_out_from", "opted_out_at", "typed_in_at")
CHANNELS = {"consent.sms": "texts", "consent.voice": "calls", "consent.email": "e-mail"}
DONE = "Marked as typed in."
UNDONE = "Back on the list."
NOT_TICKED = "This opt-out is no longer marked as typed in: someone put it back on the list, or the patient opted in again."
GONE = "This opt-out is no longer on the list: someone else typed it in, or the patient opted in again."


class WorklistPage:
    """The page, its file, and the tick."""

    def __init__(self, store: Preferences) -> None:
        self.store, self.worklist, self.audit = store, Worklist(store.database), Audit(store.database)

    def pages(self) -> Iterable[Page]:
        """The list, the list as a file, and the forms of the tick and of taking it back."""
        return (
            Page("GET", PATH, READERS, self.show),
            Page("POST", f"{PATH}/file", READERS, self.download),
            Page("POST", f"{PATH}/done", DECIDERS, self.done),
            Page("POST", f"{PATH}/undo", DECIDERS, self.undo),
        )

    def show(self, visit: Visit) -> Shown:
        """Shows what is to be typed, the oldest first."""
        return self._shown(visit)

    def download(self, visit: Visit) -> Download:
        """All of it as CSV: what is to be typed, then what was ticked off."""
        enterprise = self._enterprise(visit)
        found = [*self.worklist.waiting(enterprise), *self.worklist.ticked(enterprise)]
        self._note(visit, len(found))
        return Download(as_csv(found).encode(), CSV, FILE)

    def done(self, visit: Visit) -> Shown | Goto:
        """Ticks one off."""
        return Goto(f"{PATH}?done=1") if self._changed(visit, self.worklist.done) else self._shown(visit, GONE, 409)

    def undo(self, visit: Visit) -> Shown | Goto:
        """Takes a tick back."""
        return Goto(f"{PATH}?undone=1") if self._changed(visit, self.worklist.undo) else self._shown(visit, NOT_TICKED, 409)

    def _changed(self, visit: Visit, change: Callable[..., bool]) -> bool:
        form = visit.form
        patient, source, attribute = parsed(form.get("patient", "")), form.get("source", ""), form.get("attribute", "")
        return patient is not None and change(self._enterprise(visit), source, patient, attribute, actor=visit.actor, now=visit.now)

    def _shown(self, visit: Visit, refusal: str = "", status: int = 200) -> Shown:
        enterprise = self._enterprise(visit)
        waiting = self.worklist.waiting(enterprise, AT_ONCE)
        self._note(visit, len(waiting))
        values = {
            "title": "EMR worklist",
            "waiting": [(one, shown(one.patient), CHANNELS[one.attribute]) for one in waiting],
            "ticked": [(one, shown(one.patient), CHANNELS[one.attribute]) for one in self.worklist.ticked(enterprise, FEW)],
            "count": self.worklist.count(enterprise),
            "may_tick": visit.visitor.role in DECIDERS,
            "refusal": refusal,
            "done": DONE if visit.query.get("done") else UNDONE if visit.query.get("undone") else "",
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
        cells = (one.display_name, shown(one.patient), names, CHANNELS[one.attribute], _time(one.stated), _time(one.ticked))
        table.writerow([without_formula(cell) for cell in cells])
    return text.getvalue()


def _time(at: datetime | None) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z") if at else ""
