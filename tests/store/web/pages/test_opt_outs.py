"""The opt-out report as a page: filtered, paged, downloaded, and without numbers in URLs."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta

import pytest

from store.audit.audit_log import Audit
from store.domain.lock import Actor, Role
from store.domain.patient import PatientRef
from store.patients import opt_out_report
from store.patients.opt_out_report import Wanted, part
from store.preference import Phone
from tests.store.web.conftest import CELL, HOME, LINE, NOW, statements
from tests.store.web.pages.conftest import Pages

OTHER_LINE = "+12175550191"


def stop(pages: Pages, number: str = CELL, body: str = "STOP", line: str = LINE, ago: timedelta = timedelta()) -> None:
    pages.store.record_reply("general", line, number, body, NOW - ago, NOW)


def by_hand(pages: Pages, value: str = "MRN1", topic: str | None = None) -> None:
    patient = pages.store.find("general", PatientRef(value=value))
    pages.store.record_sms_opt_out("general", patient.id, line=None, topic=topic, actor=Actor(Role.STAFF, "desk"), now=NOW)


def test_without_opt_outs_the_page_says_where_they_come_from(pages: Pages) -> None:
    text = pages.signed_in("manager").get("/opt-outs").text
    assert "No opt-outs." in text
    assert "texts STOP" in text


@pytest.mark.parametrize("role", ["staff", "operator"])
def test_staff_and_operators_cannot_see_the_report(pages: Pages, role: str) -> None:
    browser = pages.signed_in(role)
    assert browser.get("/opt-outs").status == 403
    assert browser.post("/opt-outs").status == 403
    assert browser.post("/opt-outs/file").status == 403


def test_each_opt_out_has_its_line_its_author_and_its_patients(fresh_pages: Pages) -> None:
    stop(fresh_pages, body="STOPALL", ago=timedelta(hours=1))
    stop(fresh_pages, body="START", line=OTHER_LINE)
    stop(fresh_pages, "+12175550109")
    by_hand(fresh_pages, topic="billing")
    seen = fresh_pages.signed_in("enterprise").get("/opt-outs")
    assert "+1 217-555-0101 every line except +1 217-555-0191 all topics the patient" in seen.text
    assert "facesheet 1 , facesheet 2" in seen.text
    assert "+1 217-555-0102 every line billing staff" in seen.text
    assert re.search(r"\+1 217-555-0109 \+1 217-555-0190 all topics the patient [\d :UTC-]+ none", seen.text)
    assert f'href="{fresh_pages.patient("MRN2")}"' in seen.response.text


def test_the_same_evidence_is_shown_once_on_the_facesheet(fresh_pages: Pages) -> None:
    phones = (Phone(CELL, "cell", "", 1, True), Phone("+12175550144", "cell", "", 2, True), Phone(HOME, "home", "", 3))
    with fresh_pages.store.database.write("general") as transaction:
        fresh_pages.store.apply_many(transaction, "general", "genhosp-adt", [statements("THREE", "T1", phones=phones)], now=NOW)
    by_hand(fresh_pages, "THREE")
    whole = fresh_pages.signed_in("staff").get(fresh_pages.patient("THREE")).text
    answer = whole[whole.index("Texts: blocked") : whole.index("Calls:")]
    assert answer.count("Consent to texts: staff") == 1


def test_a_number_of_many_patients_shows_some_of_them_and_the_count(fresh_pages: Pages) -> None:
    items = [statements(f"HOME{n}", f"H{n}", phones=(Phone(CELL, "home"),)) for n in range(5)]
    with fresh_pages.store.database.write("general") as transaction:
        fresh_pages.store.apply_many(transaction, "general", "genhosp-adt", items, now=NOW)
    stop(fresh_pages)
    assert "facesheet 1 , facesheet 2 , facesheet 3 and 4 more" in fresh_pages.signed_in("enterprise").get("/opt-outs").text


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ({"number": "555-0102"}, {HOME}),
        ({"number": "(217) 555"}, {CELL, HOME, "+12175550109"}),
        ({"line": "+1 217 555 0191"}, {CELL, HOME}),
        ({"who": "staff"}, {CELL, HOME}),
        ({"who": "patient"}, {CELL, "+12175550109"}),
        ({"since": (NOW - timedelta(days=3)).date().isoformat()}, {CELL, HOME}),
        ({"number": "0109", "who": "staff"}, set()),
    ],
)
def test_filters_exclude_other_opt_outs(fresh_pages: Pages, form: dict[str, str], shown: set[str]) -> None:
    stop(fresh_pages, body="STOPALL")
    stop(fresh_pages, "+12175550109", ago=timedelta(days=9))
    fresh_pages.store.record_reply("local", LINE, "+12175550108", "STOP", NOW, NOW)
    by_hand(fresh_pages)
    browser = fresh_pages.signed_in("auditor")
    browser.get("/opt-outs")
    report = browser.post("/opt-outs/file", **form)
    assert {row["number"] for row in csv.DictReader(io.StringIO(report.response.text))} == shown
    text = browser.post("/opt-outs", **form).text
    for number in (CELL, HOME, "+12175550109"):
        assert (f"+1 {number[2:5]}-{number[5:8]}-{number[8:]}" in text) == (number in shown)
    if not shown:
        assert "No opt-outs match." in text


@pytest.mark.parametrize("form", [{"number": "abc"}, {"who": "emr"}, {"since": "yesterday"}, {"since": "0001-01-01x"}])
def test_an_invalid_filter_gets_a_friendly_error(pages: Pages, form: dict[str, str]) -> None:
    browser = pages.signed_in("manager")
    browser.get("/opt-outs")
    seen = browser.post("/opt-outs", **form)
    assert seen.status == 422
    assert 'role="alert"' in seen.response.text
    assert browser.post("/opt-outs/file", **form).status == 422


def test_a_long_report_is_paged_and_no_number_is_in_a_url(fresh_pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.web.pages.opt_outs.AT_ONCE", 2)
    for last in range(1, 6):
        stop(fresh_pages, f"+1217555010{last}")
    browser = fresh_pages.signed_in("manager")
    seen = browser.get("/opt-outs")
    assert "555-0102" in seen.text
    assert "555-0103" not in seen.text
    assert "?" not in seen.where
    rest = browser.post("/opt-outs", after="+12175550104")
    assert "555-0105" in rest.text
    assert "More numbers" not in rest.text
    assert "No more opt-outs." in browser.post("/opt-outs", after="+12175550105").text


def test_a_filter_with_few_matches_is_searched_in_limited_steps(fresh_pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opt_out_report, "LOOKED_THROUGH", 2)
    for last in range(1, 7):
        stop(fresh_pages, f"+1217555010{last}", line=LINE if last == 6 else OTHER_LINE)
    database, wanted = fresh_pages.store.database, Wanted(line=LINE)
    steps, after = [], ""
    while True:
        found = part(database, "general", wanted, after=after, limit=2)
        steps.append([one.number for one in found.opt_outs])
        if found.after is None:
            break
        after = found.after
    assert steps == [[], [], ["+12175550106"], []]
    browser = fresh_pages.signed_in("manager")
    browser.get("/opt-outs")
    monkeypatch.setattr("store.web.pages.opt_outs.AT_ONCE", 2)
    assert "No match so far." in browser.post("/opt-outs", line=LINE).text


def test_the_download_equals_the_csv_of_the_api(fresh_pages: Pages) -> None:
    stop(fresh_pages)
    browser = fresh_pages.signed_in("manager")
    browser.get("/opt-outs")
    reply = browser.post("/opt-outs/file").response
    assert reply.headers["content-type"].startswith("text/csv")
    assert reply.headers["content-disposition"] == 'attachment; filename="sms-opt-outs.csv"'
    assert reply.headers["cache-control"] == "no-store"
    (row,) = csv.DictReader(io.StringIO(reply.text))
    assert (row["number"], row["line"]) == (CELL, LINE)


def test_the_download_needs_the_csrf_token(pages: Pages) -> None:
    assert pages.signed_in("manager").post("/opt-outs/file", csrf="guess").status == 403


def test_viewing_and_downloading_are_in_the_audit_log(fresh_pages: Pages) -> None:
    stop(fresh_pages)
    browser = fresh_pages.signed_in("manager")
    browser.get("/opt-outs")
    browser.post("/opt-outs/file")
    lines = Audit(fresh_pages.store.database).newest("general", limit=2)
    assert [(one.line.actor, one.line.action) for one in lines] == [("manager:manager-general", "viewed_opt_outs")] * 2


def test_the_report_covers_one_enterprise(fresh_pages: Pages) -> None:
    stop(fresh_pages)
    assert "No opt-outs." in fresh_pages.signed_in("manager", "local").get("/opt-outs").text
