"""``GET /v1/sms-consent/report``: the opt-out report as JSON or CSV (RFC 4180)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from store.audit import VIEWED_OPT_OUTS, Audit
from store.lock import Role
from store.opt_outs import OptedOut, opted_out
from store.preferences import Preferences
from store.web.endpoint import Answer, Call, Endpoint
from store.web.problem import Problem

READERS = frozenset({Role.ENTERPRISE, Role.MANAGER, Role.AUDITOR})
CSV = "text/csv"
COLUMNS = OptedOut._fields
FORMULA = ("=", "@", "\t", "-")
FORMAT = {"format": "json (default) or csv"}


class OptedOutOut(Struct, frozen=True):
    """A number that may not be texted from ``line``; ``null`` is every line but ``except_lines``."""

    number: str
    line: str | None
    scope: str
    topic: str | None
    authority: str
    at: datetime | None
    except_lines: tuple[str, ...]
    patients: tuple[str, ...]


class OptOuts:
    """The report, from the store."""

    def __init__(self, store: Preferences) -> None:
        self.store, self.audit = store, Audit(store.database)

    def endpoints(self) -> Iterable[Endpoint]:
        """The one row of the contract."""
        yield Endpoint("GET", "/v1/sms-consent/report", READERS, "Numbers that opted out", self.report, None, list[OptedOutOut], FORMAT)

    def report(self, call: Call) -> Answer:
        """Every standing opt-out of the enterprise."""
        wanted = call.query.get("format", "json")
        if wanted not in ("json", "csv"):
            raise Problem(422, "invalid_request", "format is json or csv")
        found = list(opted_out(self.store.database, call.enterprise))
        self.audit.note(call.enterprise, VIEWED_OPT_OUTS, "", actor=call.who, now=call.now, opt_outs=len(found))
        if wanted == "json":
            return Answer([OptedOutOut(*one) for one in found])
        headers = {"content-disposition": 'attachment; filename="sms-opt-outs.csv"'}
        return Answer(as_csv(found).encode(), headers, media=CSV)


def as_csv(found: Iterable[OptedOut]) -> str:
    """The report as a table. Lists are parted by spaces; times are ISO 8601."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for one in found:
        at = one.at.isoformat().replace("+00:00", "Z") if one.at else ""
        said = (one.number, one.line or "", one.scope, one.topic or "", one.authority, at)
        writer.writerow([_inert(cell) for cell in (*said, " ".join(one.except_lines), " ".join(one.patients))])
    return text.getvalue()


def _inert(cell: str) -> str:
    """A sender's name or a topic that a spreadsheet would take for a formula. Numbers keep their plus sign: nothing follows but digits."""
    digits = cell.startswith("+") and cell[1:].replace(" +", "").isdigit()
    return f"'{cell}" if cell.startswith((*FORMULA, "+")) and not digits else cell
