"""The opt-out report page: numbers that may not be texted, with filters, page by page, and as a file.

Filters and positions in the list contain phone numbers, so they are sent by POST: no URL contains one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from store.audit.audit_log import VIEWED_OPT_OUTS, Audit
from store.domain.enterprise import Enterprise
from store.domain.phone_numbers import Numbering
from store.domain.sms_consent import REVIEW
from store.errors import ValueRefused
from store.patients import opt_out_report
from store.patients.opt_out_report import OptOutPage, Wanted, part
from store.patients.preferences import Preferences
from store.preference import PATIENT, STAFF
from store.web.api.opt_out_report import as_csv
from store.web.api.opt_outs import CSV
from store.web.api.opt_outs import READERS as READERS
from store.web.http.problem import ProblemDetails
from store.web.pages.page import Download, Page, Shown, Visit

FILE = "sms-opt-outs.csv"
AT_ONCE = 100
WHO = {PATIENT: "the patient", STAFF: "staff", REVIEW: "an unclear reply"}
FIELDS = ("number", "line", "who", "since")
LONGEST = 40


class FormFilters(NamedTuple):
    """The filters in the form. ``digits``: digits that the number must contain."""

    wanted: Wanted
    digits: str


class OptOutReport:
    """The page and its file."""

    def __init__(self, store: Preferences) -> None:
        self.store, self.audit = store, Audit(store.database)

    def pages(self) -> Iterable[Page]:
        """The report, the filtered report, and the file."""
        return (
            Page("GET", "/opt-outs", READERS, self.show),
            Page("POST", "/opt-outs", READERS, self.show),
            Page("POST", "/opt-outs/file", READERS, self.download),
        )

    def show(self, visit: Visit) -> Shown:
        """Shows the next opt-outs, by number."""
        try:
            wanted, digits = self._filters(visit)
        except ProblemDetails as problem:
            return self._shown(visit, OptOutPage(), problem.detail, int(problem.status))
        found = part(self.store.database, visit.enterprise, wanted, digits=digits, after=visit.form.get("after", ""), limit=AT_ONCE)
        self._note(visit, len(found.opt_outs))
        return self._shown(visit, found)

    def download(self, visit: Visit) -> Download:
        """All matching opt-outs as CSV, as in the API."""
        wanted, digits = self._filters(visit)
        found = [one for one in opt_out_report.opted_out(self.store.database, visit.enterprise, wanted) if digits in one.number]
        self._note(visit, len(found))
        return Download("".join(as_csv(found)).encode(), CSV, FILE)

    def _filters(self, visit: Visit) -> FormFilters:
        return form_filters(visit.form, self.store.enterprises[visit.enterprise], self.store.numbering(visit.enterprise))

    def _note(self, visit: Visit, count: int) -> None:
        self.audit.note(visit.enterprise, VIEWED_OPT_OUTS, "", actor=str(visit.actor), now=visit.now, opt_outs=count)

    def _shown(self, visit: Visit, found: OptOutPage, refusal: str = "", status: int = 200) -> Shown:
        form = {name: visit.form.get(name, "") for name in FIELDS}
        values: dict[str, Any] = {
            "title": "Opt-outs",
            "found": found.opt_outs,
            "after": found.after,
            "later": bool(visit.form.get("after")),
            "form": form,
            "filtered": any(form.values()),
            "who": WHO,
            "owners": found.owners,
            "refusal": refusal,
        }
        return Shown("opt_outs.html", values, status)


def form_filters(form: Mapping[str, str], enterprise: Enterprise, numbering: Numbering) -> FormFilters:
    """The filters in the form. Raises :class:`ProblemDetails` 422 for an invalid value."""
    number, line, who, since = (form.get(name, "") for name in FIELDS)
    digits = "".join(one for one in number if one in "0123456789")
    if number and not digits:
        raise ProblemDetails(422, "invalid_request", "Enter at least one digit of the number.")
    if who not in ("", *WHO):
        raise ProblemDetails(422, "invalid_request", "“Recorded by” must be one of the choices in the list.")
    return FormFilters(Wanted(line=_line(line, numbering), authority=who or None, since=_day(since, enterprise)), digits)


def _line(text: str, numbering: Numbering) -> str | None:
    if not text.strip():
        return None
    try:
        return numbering.line(text[:LONGEST])
    except ValueRefused as error:
        raise ProblemDetails(422, "invalid_request", "A line must be a phone number or a short code.") from error


def _day(text: str, enterprise: Enterprise) -> datetime | None:
    """The start of a day in the enterprise's time zone."""
    if not text:
        return None
    try:
        return datetime.combine(date.fromisoformat(text), time(), ZoneInfo(enterprise.time_zone))
    except ValueError as error:
        raise ProblemDetails(422, "invalid_request", "Enter the date like 2026-11-23.") from error
