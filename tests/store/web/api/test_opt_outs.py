"""The opt-out report as JSON and CSV, by role, without spreadsheet formulas."""

from __future__ import annotations

import csv
import io
import tracemalloc
from http.client import IncompleteRead
from itertools import islice
from typing import Any

import pytest

from store.db.tables import SmsWordsRow
from store.patients.opt_out_report import opted_out
from store.web.api.opt_out_report import as_csv, csv_pieces, json_pieces
from tests.store.web.conftest import CELL, HOME, LINE, NOW, Service

OTHER = "+12175550191"

ALL = {"role": "manager"}


def stop(service: Service, number: str = CELL, body: str = "STOP", line: str = LINE) -> None:
    assert service.call("POST", "/v1/sms-replies", {"line": line, "from": number, "body": body}).status == 200


def test_the_report_without_opt_outs_is_empty(fresh: Service) -> None:
    assert fresh.call("GET", "/v1/sms-consent/report", **ALL).json == []
    assert fresh.call("GET", "/v1/sms-consent/report?format=csv", **ALL).body.count(b"\r\n") == 1


def test_each_current_opt_out_has_its_line_scope_time_and_patients(fresh: Service) -> None:
    stop(fresh, body="STOPALL")
    stop(fresh, body="START", line="+12175550191")
    stop(fresh, HOME)
    stop(fresh, "+12175550109")
    stop(fresh, "+12175550109", "START")
    first, second = (fresh.patient(value)["id"] for value in ("MRN1", "MRN2"))
    by_hand = fresh.call("POST", f"/v1/patients/{second}/sms-consent", {"all_lines": True, "topic": "billing"}, role="staff")
    assert by_hand.status == 200
    report = fresh.call("GET", "/v1/sms-consent/report", role="auditor").json
    assert [(one["number"], one["line"], one["scope"], one["topic"], one["authority"], one["except_lines"]) for one in report] == [
        (CELL, None, "all_lines", None, "patient", ["+12175550191"]),
        (CELL, None, "topic", "billing", "staff", []),
        (HOME, LINE, "line", None, "patient", []),
    ]
    assert [one["patients"] for one in report] == [[first, second], [first, second], [first]]
    assert all(one["at"].endswith("Z") for one in report)


def test_the_csv_has_the_same_content(fresh: Service) -> None:
    stop(fresh)
    reply = fresh.call("GET", "/v1/sms-consent/report?format=csv", role="enterprise")
    assert reply.headers["content-type"].startswith("text/csv")
    assert "attachment" in reply.headers["content-disposition"]
    (row,) = csv.DictReader(io.StringIO(reply.body.decode()))
    (same,) = fresh.call("GET", "/v1/sms-consent/report", **ALL).json
    assert (row["number"], row["line"], row["scope"], row["at"]) == (CELL, LINE, "line", same["at"])
    assert row["patients"].split() == same["patients"]


def test_a_topic_that_looks_like_a_formula_is_written_as_text(fresh: Service) -> None:
    request = {"line": LINE, "topic": '=HYPERLINK("X")'}
    fresh.call("POST", f"/v1/patients/{fresh.patient('MRN2')['id']}/sms-consent", request, role="staff")
    (row,) = csv.DictReader(io.StringIO(fresh.call("GET", "/v1/sms-consent/report?format=csv", **ALL).body.decode()))
    assert row["topic"].startswith("'=HYPERLINK")
    assert row["number"] == CELL


def test_the_report_covers_one_enterprise(fresh: Service) -> None:
    stop(fresh)
    assert fresh.call("GET", "/v1/sms-consent/report", role="manager", enterprise="local").json == []


def test_an_unknown_format_is_refused(fresh: Service) -> None:
    assert fresh.call("GET", "/v1/sms-consent/report?format=xlsx", **ALL).status == 422


def test_reading_the_report_is_in_the_audit_log(fresh: Service) -> None:
    fresh.call("GET", "/v1/sms-consent/report", **ALL)
    (line, *_) = (one for one in fresh.call("GET", "/v1/audit", role="auditor").json if one["action"] == "viewed_opt_outs")
    assert (line["actor"], line["detail"]) == ("manager:manager of general", {})
    fresh.call("GET", "/v1/sms-consent/report?scope=topic&topic=billing", **ALL)
    assert fresh.call("GET", "/v1/audit", role="auditor").json[0]["detail"] == {"scope": "topic", "topic": "billing"}


@pytest.fixture
def four_opt_outs(fresh: Service) -> Service:
    """One opt-out of each kind, a minute apart."""
    for minute, (body, line, number) in enumerate((("STOP", LINE, CELL), ("STOPALL", OTHER, HOME), ("START", LINE, HOME)), 1):
        request = {"line": line, "from": number, "body": body, "received_at": f"2026-01-01T00:0{minute}:00Z"}
        assert fresh.call("POST", "/v1/sms-replies", request).status == 200
    where = f"/v1/patients/{fresh.patient('MRN2')['id']}/sms-consent"
    assert fresh.call("POST", where, {"line": OTHER, "topic": "billing"}, role="staff").status == 200
    assert fresh.call("POST", where, {"line": OTHER}, role="staff").status == 200
    return fresh


ONE, ALL_LINES, BILLING, DESK = (CELL, LINE, "line"), (HOME, None, "all_lines"), (CELL, OTHER, "topic"), (CELL, OTHER, "line")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [ONE, DESK, BILLING, ALL_LINES]),
        ("line=%2B12175550190", [ONE]),
        ("line=+1 (217) 555-0190".replace(" ", "%20"), [ONE]),
        ("line=%2B12175550191", [DESK, BILLING, ALL_LINES]),
        ("line=%2B12175550199", [ALL_LINES]),
        ("authority=patient", [ONE, ALL_LINES]),
        ("authority=staff", [DESK, BILLING]),
        ("scope=all_lines", [ALL_LINES]),
        ("scope=topic", [BILLING]),
        ("topic=billing", [BILLING]),
        ("topic=recalls", []),
        ("since=2026-01-01T00:02:00Z", [DESK, BILLING, ALL_LINES]),
        ("until=2026-01-01T00:02:00Z", [ONE]),
        ("since=2026-01-01T00:01:00Z&until=2026-01-01T00:03:00Z&authority=patient", [ONE, ALL_LINES]),
    ],
)
def test_the_report_is_filtered_in_both_formats(four_opt_outs: Service, query: str, expected: list[Any]) -> None:
    found = four_opt_outs.call("GET", f"/v1/sms-consent/report?{query}", **ALL).json
    assert [(one["number"], one["line"], one["scope"]) for one in found] == expected
    table = four_opt_outs.call("GET", f"/v1/sms-consent/report?{query}&format=csv", **ALL).body.decode()
    assert [(row["number"], row["line"] or None, row["scope"]) for row in csv.DictReader(io.StringIO(table))] == expected


@pytest.mark.parametrize("query", ["authority=emr", "scope=everything", "since=yesterday", "until=2026-01-01T00:00:00"])
def test_an_invalid_filter_is_refused(fresh: Service, query: str) -> None:
    refused = fresh.call("GET", f"/v1/sms-consent/report?{query}", **ALL)
    assert (refused.status, refused.json["code"]) == (422, "invalid_request")
    assert not [one for one in fresh.call("GET", "/v1/audit", role="auditor").json if one["action"] == "viewed_opt_outs"]


@pytest.mark.parametrize("form", ["json", "csv"])
def test_a_report_is_streamed_with_constant_memory(four_opt_outs: Service, form: str) -> None:
    with four_opt_outs.store.database.read() as connection:
        (words,) = four_opt_outs.store.database.select(connection, "SELECT words FROM sms_words WHERE number = ?", [CELL])[0]
    with four_opt_outs.store.database.write("general") as transaction:
        rows = [("general", f"+1{number}", words.replace(CELL, f"+1{number}"), NOW) for number in range(2_000_000_000, 2_000_010_000)]
        four_opt_outs.store.database.insert(transaction, SmsWordsRow, ("enterprise", "number", "words", "updated"), rows)
    found, most = opted_out(four_opt_outs.store.database, "general"), {}
    for many in (3_000, 28_000):
        tracemalloc.start()
        count = sum(len(piece) for piece in (json_pieces if form == "json" else csv_pieces)(islice(found, many)))
        most[many] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count > many * 50
    assert most[28_000] < most[3_000] * 1.5 + 1_000_000
    answered = four_opt_outs.call("GET", f"/v1/sms-consent/report?format={form}", **ALL)
    assert answered.headers["transfer-encoding"] == "chunked"
    assert (len(answered.json) if form == "json" else answered.body.count(b"\r\n") - 1) == 30_004


def test_a_report_that_fails_is_aborted(four_opt_outs: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.web.api.opt_out_report.ROWS_AT_ONCE", 1)
    real, calls = four_opt_outs.store.database.select, []

    def failing(connection: Any, sql: str, parameters: Any) -> Any:
        calls.append(sql)
        if "sms_words" in sql and len([one for one in calls if "sms_words" in one]) > 2:
            raise RuntimeError(CELL)
        return real(connection, sql, parameters)

    monkeypatch.setattr("store.patients.opt_out_report.PAGE", 1)
    monkeypatch.setattr(four_opt_outs.store.database, "select", failing)
    with pytest.raises(IncompleteRead):
        four_opt_outs.call("GET", "/v1/sms-consent/report", **ALL)


@pytest.mark.parametrize("page", [1, 2, 3])
def test_pages_are_contiguous(fresh: Service, page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.patients.opt_out_report.PAGE", page)
    for last in range(1, 7):
        stop(fresh, f"+1217555010{last}", "STOP" if last % 3 else "START")
    numbers = [one["number"] for one in fresh.call("GET", "/v1/sms-consent/report", **ALL).json]
    assert numbers == [f"+1217555010{last}" for last in (1, 2, 4, 5)]


def test_an_empty_report_has_its_header() -> None:
    assert as_csv([]) == "number,line,scope,topic,authority,at,except_lines,patients,in_reply_to\r\n"
