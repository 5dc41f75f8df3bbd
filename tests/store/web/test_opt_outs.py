"""The opt-out report: as JSON and CSV, by role, with nothing a spreadsheet would run."""

from __future__ import annotations

import csv
import io

import pytest

from store.web.opt_outs import as_csv
from tests.store.web.conftest import CELL, HOME, LINE, Service

ALL = {"role": "manager"}


def stop(service: Service, number: str = CELL, body: str = "STOP", line: str = LINE) -> None:
    assert service.call("POST", "/v1/sms-replies", {"line": line, "from": number, "body": body}).status == 200


def test_nobody_opted_out(fresh: Service) -> None:
    assert fresh.call("GET", "/v1/sms-consent/report", **ALL).json == []
    assert fresh.call("GET", "/v1/sms-consent/report?format=csv", **ALL).body.count(b"\r\n") == 1


def test_each_standing_opt_out_with_its_line_scope_time_and_patients(fresh: Service) -> None:
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


def test_the_table_holds_the_same(fresh: Service) -> None:
    stop(fresh)
    reply = fresh.call("GET", "/v1/sms-consent/report?format=csv", role="enterprise")
    assert reply.headers["content-type"].startswith("text/csv")
    assert "attachment" in reply.headers["content-disposition"]
    (row,) = csv.DictReader(io.StringIO(reply.body.decode()))
    (same,) = fresh.call("GET", "/v1/sms-consent/report", **ALL).json
    assert (row["number"], row["line"], row["scope"], row["at"]) == (CELL, LINE, "line", same["at"])
    assert row["patients"].split() == same["patients"]


def test_a_line_that_a_spreadsheet_would_run_is_text(fresh: Service) -> None:
    stop(fresh, line='=HYPERLINK("X")')
    (row,) = csv.DictReader(io.StringIO(fresh.call("GET", "/v1/sms-consent/report?format=csv", **ALL).body.decode()))
    assert row["line"].startswith("'=HYPERLINK")
    assert row["number"] == CELL


def test_the_report_is_of_one_enterprise(fresh: Service) -> None:
    stop(fresh)
    assert fresh.call("GET", "/v1/sms-consent/report", role="manager", enterprise="local").json == []


def test_a_format_that_there_is_not_is_refused(fresh: Service) -> None:
    assert fresh.call("GET", "/v1/sms-consent/report?format=xlsx", **ALL).status == 422


def test_who_read_the_report_is_in_the_log(fresh: Service) -> None:
    fresh.call("GET", "/v1/sms-consent/report", **ALL)
    (line, *_) = (one for one in fresh.call("GET", "/v1/audit", role="auditor").json if one["action"] == "viewed_opt_outs")
    assert (line["actor"], line["detail"]) == ("manager:manager of general", {"opt_outs": 0})


@pytest.mark.parametrize("page", [1, 2, 3])
def test_pages_fit_together(fresh: Service, page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.opt_outs.PAGE", page)
    for last in range(1, 7):
        stop(fresh, f"+1217555010{last}", "STOP" if last % 3 else "START")
    numbers = [one["number"] for one in fresh.call("GET", "/v1/sms-consent/report", **ALL).json]
    assert numbers == [f"+1217555010{last}" for last in (1, 2, 4, 5)]


def test_an_empty_report_has_its_head() -> None:
    assert as_csv([]) == "number,line,scope,topic,authority,at,except_lines,patients\r\n"
