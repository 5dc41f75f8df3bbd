"""``GET /v1/sms-consent/report``: the opt-out report as JSON or CSV (RFC 4180), streamed."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any

from store.audit.audit_log import VIEWED_OPT_OUTS, Audit
from store.domain.channels import ORDER
from store.domain.lock import Role
from store.domain.phone_numbers import Numbering
from store.domain.sms_consent import REVIEW, SCOPES, SMS
from store.patients.opt_out_report import Wanted, opted_out
from store.patients.preferences import Preferences
from store.preference import PATIENT, STAFF
from store.web.api.endpoint import ApiResponse, Call, Endpoint
from store.web.api.opt_out_report import OptedOutOut, csv_pieces, filters, json_pieces
from store.web.api.wire import one_of, time_parameter

READERS = frozenset({Role.ENTERPRISE, Role.MANAGER, Role.AUDITOR})
CSV = "text/csv"
FILE = {"content-disposition": 'attachment; filename="sms-opt-outs.csv"'}
PARAMETERS = {
    "format": "json (default) or csv",
    "line": "only opt-outs that apply to this line",
    "authority": "only opt-outs from this authority: patient, staff, or review for unclear replies that await review",
    "scope": "only opt-outs with this scope: line, all_lines, topic or category",
    "topic": "only opt-outs from this topic",
    "since": "only opt-outs at or after this time, like 2026-11-02T10:42:00Z",
    "until": "only opt-outs before this time",
    "channel": "opt-outs from this channel: sms (default), voice or email",
}


class OptOuts:
    """The endpoint for the report."""

    def __init__(self, store: Preferences) -> None:
        self.store, self.audit = store, Audit(store.database)

    def endpoints(self) -> Iterable[Endpoint]:
        """The endpoint."""
        yield Endpoint("GET", "/v1/sms-consent/report", READERS, "Opt-out report", self.report, None, list[OptedOutOut], PARAMETERS)

    def report(self, call: Call) -> ApiResponse:
        """The enterprise's current opt-outs, all or filtered."""
        table, which = one_of(call.query, "format", ("json", "csv")) == "csv", wanted(call.query, self.store.numbering(call.enterprise))
        self.audit.note(call.enterprise, VIEWED_OPT_OUTS, "", actor=call.who, now=call.now, **filters(which))
        found = opted_out(self.store.database, call.enterprise, which)
        return ApiResponse(encoded(csv_pieces(found)), FILE, media=CSV) if table else ApiResponse(encoded(json_pieces(found)))


def wanted(query: Mapping[str, Any], numbering: Numbering) -> Wanted:
    """The filters in a query. Raises :class:`ProblemDetails` for an invalid one."""
    line = query.get("line")
    return Wanted(
        numbering.line(line) if line else None,
        one_of(query, "authority", (PATIENT, STAFF, REVIEW)),
        one_of(query, "scope", SCOPES),
        query.get("topic") or None,
        time_parameter(query, "since"),
        time_parameter(query, "until"),
        one_of(query, "channel", tuple(ORDER)) or SMS,
    )


def encoded(pieces: Iterator[str]) -> Generator[bytes, None, None]:
    """The pieces as bytes. The first one is read at once, so that an early failure is a problem response, not a truncated report."""
    first = next(pieces)

    def rest() -> Generator[bytes, None, None]:
        yield first.encode()
        for piece in pieces:
            yield piece.encode()

    return rest()
