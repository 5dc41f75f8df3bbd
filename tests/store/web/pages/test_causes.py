"""The page of one cause of rejections: what it does, its fix, and its replay after a preview."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from store import times
from store.domain.ids import parsed
from store.preference import Problem
from store.runs.rejection_room import TRUNCATED
from store.runs.runs import Rejected
from store.web.pages import labels
from tests.store.web.conftest import NOW, statements
from tests.store.web.pages.conftest import Browser, Pages
from tests.store.web.pages.test_console import PAYLOAD, rejected

IDS = re.compile(r'name="ids" value="([^"]*)"')


def cause_of(rejection: str) -> str:
    return f"/rejections/{rejection}/cause"


def reject(pages: Pages, *rows: Rejected) -> str:
    with pages.store.database.write("general") as transaction:
        pages.journal.reject(transaction, rows, source="genhosp-adt", enterprise="general", run_id=None, now=NOW)
    wanted = {row.reason for row in rows}
    return next(one.id for one in pages.journal.rejections("general", status=None) if one.reason in wanted)


def unread(pages: Pages, mrn: str) -> int | None:
    """A patient whose Do Not Contact cannot be read."""
    problem = Problem("code_unmapped", "PV1-18", "", "do_not_contact")
    later = replace(statements(mrn, f"{mrn}-2"), effective=times.at(NOW), problems=(problem,))
    with pages.store.database.write("general") as transaction:
        pages.store.apply_many(transaction, "general", "genhosp-adt", [later], now=NOW)
    return parsed(pages.patient(mrn).removeprefix("/patients/"))


def previewed(browser: Browser, rejection: str) -> str:
    """The ids that the preview offers to replay."""
    browser.get(cause_of(rejection))
    found = IDS.search(browser.post(f"{cause_of(rejection)}/preview").response.text)
    assert found is not None
    return found[1]


def test_the_list_shows_causes_with_counts_times_and_an_example(fresh_pages: Pages) -> None:
    rejection = rejected(fresh_pages)
    rejected(fresh_pages)
    seen = fresh_pages.signed_in("operator").get("/rejections")
    assert "Code unmapped: Do Not Contact 2" in seen.text
    assert "Source General Hospital EMR Received 2 times in 1 rejection First" in seen.text
    assert f"Example C17 patient {fresh_pages.patient().removeprefix('/patients/')}" in seen.text
    assert f'href="{cause_of(rejection)}"' in seen.response.text


def test_a_cause_shows_how_many_patients_are_unreadable(fresh_pages: Pages) -> None:
    number = unread(fresh_pages, "MRN1")
    row = Rejected("code_unmapped", "d", "PV1-18", "l", PAYLOAD, "field", "C18", attribute="do_not_contact", patient_id=number)
    browser, where = fresh_pages.signed_in("operator"), cause_of(reject(fresh_pages, row))
    assert (
        "1 patient has newer data about Do Not Contact that cannot be read. Messages that depend on it are not sent"
        in browser.get(where).text
    )
    staff = fresh_pages.signed_in("enterprise")
    staff.get("/settings")
    assert staff.post("/settings", when_unreadable="flag", confirm="1").status == 303
    assert "Decisions about them use the previous data and are flagged." in browser.get(where).text


def test_a_cause_that_newer_data_settled_says_so(fresh_pages: Pages) -> None:
    assert "Nothing is waiting for it now" in fresh_pages.signed_in("operator").get(cause_of(rejected(fresh_pages))).text


@pytest.mark.parametrize(
    ("row", "effect"),
    [
        (Rejected("segment_missing", "PID is missing", "PID", "l", PAYLOAD), "Nothing in these messages was applied."),
        (Rejected("phone_unusable", "", "PID-13", "l", PAYLOAD, "field", attribute="phones"), "Only Phones was left out."),
        (Rejected("text_unreadable", "", "PID-9", "l", PAYLOAD, "field"), "Only this part was left out."),
        (Rejected(TRUNCATED, "", "", "l", b""), "The senders must send them again."),
    ],
)
def test_the_effect_of_other_causes_is_in_words(fresh_pages: Pages, row: Rejected, effect: str) -> None:
    text = fresh_pages.signed_in("operator").get(cause_of(reject(fresh_pages, row))).text
    assert effect in text
    assert "The mapping cannot change this." in text


def test_titles_and_sentences_begin_with_a_capital_letter_and_acronyms_stay(fresh_pages: Pages) -> None:
    row = Rejected("not_fhir", "it is no resource", "", "inbox:1", b"{}")
    with fresh_pages.store.database.write("general") as transaction:
        fresh_pages.journal.reject(transaction, [row], source="genhosp-adt", enterprise="general", run_id=None, now=NOW)
    browser, (rejection, *_) = fresh_pages.signed_in("operator"), fresh_pages.journal.rejections("general")
    assert "Not FHIR" in browser.get("/rejections").text
    assert "Fix It is no resource" in browser.get(f"/rejections/{rejection.id}/cause").text
    one = browser.get(f"/rejections/{rejection.id}").text
    assert "Not FHIR OPEN" in one
    assert labels.sentence("consent.sms: the code is in no table") == "consent.sms: the code is in no table"
    assert labels.sentence("no.") == "No."
    assert labels.sentence("do_not_contact: the code is in no table") == "do_not_contact: the code is in no table"
    assert "Reason It is no resource" in one


def test_the_fix_is_the_rule_to_copy_with_the_choice_left_open(fresh_pages: Pages) -> None:
    rejection = rejected(fresh_pages)
    browser = fresh_pages.signed_in("operator")
    text = browser.get(cause_of(rejection)).text
    assert "do_not_contact: from: PV1-18 values: DNC: yes CODE: CHOOSE" in text
    assert fresh_pages.requested == []
    text = browser.get(f"{cause_of(rejection)}?codes=1").text
    assert "DNC: yes X9: CHOOSE" in text
    assert "Code Records X9 4 masked 2" in text
    assert fresh_pages.requested == [("codes", "genhosp-adt", "operator-general")]


def test_a_replay_follows_its_preview(fresh_pages: Pages) -> None:
    rejection = rejected(fresh_pages)
    browser, where = fresh_pages.signed_in("operator"), cause_of(rejection)
    browser.get(where)
    seen = browser.post(f"{where}/preview")
    assert seen.status == 200
    assert "Replaying 1 rejection would make 0 patients more contactable and 1 less." in seen.text
    assert "0 would be resolved, 1 would stay open because it, or a part of it, still cannot be read." in seen.text
    assert "Applied 1" in seen.text
    assert "Phones other 1" in seen.text
    assert fresh_pages.requested == []
    done = browser.post(f"{where}/replay", ids=previewed(browser, rejection))
    assert done.where == f"{where}?resolved=1&of=1"
    assert "1 of 1 replayed and resolved." in browser.get(done.where).text
    assert fresh_pages.requested == [("replay", rejection, "operator-general")]


def test_only_what_was_previewed_and_has_this_cause_is_replayed(fresh_pages: Pages) -> None:
    rejection, other = rejected(fresh_pages), reject(fresh_pages, Rejected("segment_missing", "", "PID", "l", b"other"))
    browser = fresh_pages.signed_in("operator")
    ids = previewed(browser, rejection)
    new = reject(fresh_pages, Rejected("code_unmapped", "", "PV1-18", "l", b"later", "field", attribute="do_not_contact"))
    assert new not in ids.split()
    assert browser.post(f"{cause_of(rejection)}/replay", ids=f"{ids} {other} rej_0").where.endswith("?resolved=1&of=1")
    assert fresh_pages.requested == [("replay", rejection, "operator-general")]


def test_a_replay_without_a_preview_is_refused(fresh_pages: Pages) -> None:
    where = cause_of(rejected(fresh_pages))
    browser = fresh_pages.signed_in("operator")
    browser.get(where)
    assert browser.post(f"{where}/replay").status == 422
    assert fresh_pages.requested == []


def test_a_resolved_cause_has_nothing_to_replay(fresh_pages: Pages) -> None:
    rejection = rejected(fresh_pages)
    with fresh_pages.store.database.write("general") as transaction:
        fresh_pages.journal.resolve(transaction, rejection)
    browser = fresh_pages.signed_in("operator")
    seen = browser.get(cause_of(rejection))
    assert "No open rejections have this cause." in seen.text
    assert browser.post(f"{cause_of(rejection)}/preview").status == 200
    assert fresh_pages.requested == []


def test_a_cause_of_a_messaging_provider_has_no_page_of_a_source(fresh_pages: Pages) -> None:
    row = Rejected("number_unreadable", "", "", "", b"{}")
    with fresh_pages.store.database.write("general") as transaction:
        fresh_pages.journal.reject(transaction, [row], source="texts", enterprise="general", run_id=None, now=NOW)
    (rejection,) = fresh_pages.journal.rejections("general", "texts")
    seen = fresh_pages.signed_in("operator").get(cause_of(rejection.id))
    assert "Source texts" in seen.text
    assert "/sources/texts" not in seen.response.text
    assert "Show the codes" not in seen.text


@pytest.mark.parametrize("query", ["resolved=x&of=1", "resolved=<b>&of=2", "of=3", "resolved=1"])
def test_an_odd_result_in_the_address_is_not_shown(pages: Pages, query: str) -> None:
    rejection = rejected(pages)
    assert "replayed and resolved" not in pages.signed_in("operator").get(f"{cause_of(rejection)}?{query}").text
