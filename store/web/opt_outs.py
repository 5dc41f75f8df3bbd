"""``GET /v1/sms-consent/report``: the opt-out report as JSON or CSV (RFC 4180), sent while it is read."""

from __future__ import annotations

import csv
import io
from collections.abc import Generator, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from msgspec import Struct

from store.consent import REVIEW, SCOPES
from store.lock import Role
from store.preference import PATIENT, STAFF
from store.preferences import Preferences
from store.proof.audit import VIEWED_OPT_OUTS, Audit
from store.texting.numbering import Numbering
from store.texting.opt_outs import OptedOut, Wanted, opted_out
from store.web.endpoint import Answer, Call, Endpoint, encode
from store.web.wire import moment, one_of

READERS = frozenset({Role.ENTERPRISE, Role.MANAGER, Role.AUDITOR})
CSV = "text/csv"
FILE = {"content-disposition": 'attachment; filename="sms-opt-outs.csv"'}
COLUMNS = OptedOut._fields
FORMULA = ("=", "@", "\t", "-")
ROWS_AT_ONCE = 500
PARAMETERS = {
    "format": "json (default) or csv",
    "line": "only opt-outs that hold on this line",
    "authority": "only those by this one: patient, staff, or review for unclear replies that wait for a person",
    "scope": "only those of this scope: line, all_lines or topic",
    "topic": "only those from this topic",
    "since": "only those said at this time or later, like 2026-11-02T10:42:00Z",
    "until": "only those said before this time",
}


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
        yield Endpoint("GET", "/v1/sms-consent/report", READERS, "Numbers that opted out", self.report, None, list[OptedOutOut], PARAMETERS)

    def report(self, call: Call) -> Answer:
        """The standing opt-outs of the enterprise, all or those that are wanted."""
        table, which = one_of(call.query, "format", ("json", "csv")) == "csv", wanted(call.query, self.store.numbering(call.enterprise))
        self.audit.note(call.enterprise, VIEWED_OPT_OUTS, "", actor=call.who, now=call.now, **asked(which))
        found = opted_out(self.store.database, call.enterprise, which)
        return Answer(encoded(csv_pieces(found)), FILE, media=CSV) if table else Answer(encoded(json_pieces(found)))


def wanted(query: Mapping[str, Any], numbering: Numbering) -> Wanted:
    """Which opt-outs a query asks for. Raises :class:`Problem` for one that makes no sense."""
    line = query.get("line")
    return Wanted(
        numbering.line(line) if line else None,
        one_of(query, "authority", (PATIENT, STAFF, REVIEW)),
        one_of(query, "scope", SCOPES),
        query.get("topic") or None,
        moment(query, "since"),
        moment(query, "until"),
    )


def asked(which: Wanted) -> dict[str, Any]:
    """What was asked about, for the audit log."""
    return {name: value for name, value in which._asdict().items() if value is not None}


def json_pieces(found: Iterable[OptedOut]) -> Iterator[str]:
    """The report as the pieces of one JSON array."""
    opening = "["
    for rows in _groups(found):
        yield opening + encode([OptedOutOut(*one) for one in rows]).decode()[1:-1]
        opening = ","
    yield "[]" if opening == "[" else "]"


def csv_pieces(found: Iterable[OptedOut]) -> Iterator[str]:
    """The report as the pieces of a table. Lists are parted by spaces; times are ISO 8601."""
    yield _table([COLUMNS])
    for rows in _groups(found):
        yield _table([_inert(cell) for cell in _cells(one)] for one in rows)


def as_csv(found: Iterable[OptedOut]) -> str:
    """The report as a table, whole."""
    return "".join(csv_pieces(found))


def encoded(pieces: Iterator[str]) -> Generator[bytes, None, None]:
    """The same as bytes. The first piece is read before anything is sent, so that what fails at once is a problem, not a part."""
    first = next(pieces)

    def rest() -> Generator[bytes, None, None]:
        yield first.encode()
        for piece in pieces:
            yield piece.encode()

    return rest()


def _groups(found: Iterable[OptedOut]) -> Iterator[list[OptedOut]]:
    rest = iter(found)
    while rows := list(islice(rest, ROWS_AT_ONCE)):
        yield rows


def _table(rows: Iterable[Iterable[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _cells(one: OptedOut) -> tuple[str, ...]:
    said = (one.number, one.line or "", one.scope, one.topic or "", one.authority, _time(one) or "")
    return (*said, " ".join(one.except_lines), " ".join(one.patients))


def _time(one: OptedOut) -> str | None:
    return one.at.isoformat().replace("+00:00", "Z") if one.at else None


def _inert(cell: str) -> str:
    """A sender's name or a topic that a spreadsheet would take for a formula. Numbers keep their plus sign: nothing follows but digits."""
    digits = cell.startswith("+") and cell[1:].replace(" +", "").isdigit()
    return f"'{cell}" if cell.startswith((*FORMULA, "+")) and not digits else cell
