from __future__ import annotations

from datetime import timedelta

import pytest

from store import times
from store.domain.ids import parsed
from store.domain.patient import PatientRef
from store.holds.held_changes import HeldChange, HeldChanges, HeldChangeState
from store.holds.held_runs import HeldRuns
from store.runs.runs import Rejected
from tests.store.web.conftest import NOW
from tests.store.web.pages.conftest import Pages

PAYLOAD = b"MSH|^~\\&|EMR\rPID|1||MRN1^^^GENHOSP^MR||Invented^Person\rPV1|||||||||||||||||X9\r"


def rejected(pages: Pages, enterprise: str = "general", source: str = "genhosp-adt") -> str:
    patient = parsed(pages.store.find(enterprise, PatientRef(value="MRN1")).id)
    what = ("code_unmapped", "the code of PV1-18 is in no values table", "PV1-18", "feed.hl7:3", PAYLOAD, "field", "C17")
    row = Rejected(*what, attribute="do_not_contact", patient_id=patient)
    with pages.store.database.write(enterprise) as transaction:
        pages.journal.reject(transaction, [row], source=source, enterprise=enterprise, run_id=None, now=NOW)
    return pages.journal.rejections(enterprise, source)[0].id


def held(pages: Pages) -> str:
    """A run that would lift MRN2's Do Not Contact."""
    patient = parsed(pages.store.find("general", PatientRef(value="MRN2")).id) or 0
    with pages.store.database.write("general") as transaction:
        run = HeldRuns(pages.store.database).live_run(transaction, "genhosp-adt", "general", now=NOW)
        row = HeldChange(
            patient, "emr:genhosp-adt", "do_not_contact", "general", "genhosp-adt",
            run, HeldChangeState.HELD, False, "yes->no", "no", "ZCP-2",
            times.at(NOW), 0, "M77", NOW,
        )  # fmt: skip
        HeldChanges(pages.store.database).put(transaction, [row])
    return run


def dnc(pages: Pages) -> str:
    return pages.store.find("general", PatientRef(value="MRN2")).contact.do_not_contact


@pytest.mark.parametrize("role", ["enterprise", "manager", "staff", "auditor"])
def test_the_console_is_for_operators_only(fresh_pages: Pages, role: str) -> None:
    browser, run, rejection = fresh_pages.signed_in(role), held(fresh_pages), rejected(fresh_pages)
    for path in ("/sources", "/sources/genhosp-adt", f"/runs/{run}", "/rejections", f"/rejections/{rejection}"):
        assert browser.get(path).status == 403
    for path in ("/sources/genhosp-adt/resync", f"/runs/{run}/approve", f"/runs/{run}/reject", f"/rejections/{rejection}/replay"):
        assert browser.post(path).status == 403
    assert (fresh_pages.requested, dnc(fresh_pages)) == ([], "yes")


def test_sources_show_their_state(fresh_pages: Pages) -> None:
    browser = fresh_pages.signed_in("operator")
    text = browser.get("/sources").text
    assert "General Hospital EMR FRESH" in text
    assert "none yet" in text
    rejected(fresh_pages)
    held(fresh_pages)
    text = browser.get("/sources").text
    assert "1 open" in text
    assert "Held by the safeguard 1 patient " in text


def test_a_stale_source_is_marked(fresh_pages: Pages) -> None:
    fresh_pages.moment.advance(timedelta(hours=27))
    assert "General Hospital EMR STALE" in fresh_pages.signed_in("operator").get("/sources").text


def test_a_resync_starts_and_a_second_one_is_refused(fresh_pages: Pages) -> None:
    browser = fresh_pages.signed_in("operator")
    begun = browser.post("/sources/genhosp-adt/resync")
    assert begun.status == 303
    seen = browser.get(begun.where)
    assert "The resync has started." in seen.text
    assert "RUNNING" in seen.text
    assert 'data-live="1"' in seen.response.text
    assert fresh_pages.requested == [("resync", "genhosp-adt", "operator-general")]
    assert browser.post("/sources/genhosp-adt/resync").status == 409
    assert browser.get("/sources/clinic").status == 404
    assert browser.post("/sources/clinic/resync").status == 404


def test_a_held_set_is_reviewed_and_rejected(fresh_pages: Pages) -> None:
    browser, run = fresh_pages.signed_in("operator"), held(fresh_pages)
    seen = browser.get(f"/runs/{run}")
    assert "This run would make 1 patient more contactable" in seen.text
    assert "do not contact yes → no 1" in seen.text
    assert browser.post(f"/runs/{run}/reject").where == f"/runs/{run}?done=rejected"
    text = browser.get(f"/runs/{run}").text
    assert "Rejected for 1 patient by operator:operator-general" in text
    assert dnc(fresh_pages) == "yes"
    assert browser.post(f"/runs/{run}/approve").status == 409


def test_a_held_set_is_approved(fresh_pages: Pages) -> None:
    browser, run = fresh_pages.signed_in("operator"), held(fresh_pages)
    assert browser.post(f"/runs/{run}/approve").where == f"/runs/{run}?done=approved"
    assert dnc(fresh_pages) == "no"


def test_runs_and_rejections_of_another_enterprise_are_not_found(fresh_pages: Pages) -> None:
    browser, run, rejection = fresh_pages.signed_in("operator", "local"), held(fresh_pages), rejected(fresh_pages)
    for path in (f"/runs/{run}", f"/rejections/{rejection}", "/sources/genhosp-adt", "/runs/run_0", "/rejections/rej_0"):
        assert browser.get(path).status == 404
    for path in (f"/runs/{run}/approve", f"/runs/{run}/reject", f"/rejections/{rejection}/replay"):
        assert browser.post(path).status == 404
    assert "GENHOSP" not in browser.get("/rejections").text
    assert dnc(fresh_pages) == "yes"


def test_a_rejection_shows_its_reason_and_its_content_masked(fresh_pages: Pages) -> None:
    rejection = rejected(fresh_pages)
    browser = fresh_pages.signed_in("operator")
    text = browser.get("/rejections").text
    assert "Code unmapped: Do Not Contact 1" in text
    seen = browser.get(f"/rejections/{rejection}")
    assert "The code of PV1-18 is in no values table" in seen.text
    assert "PID|•||••••^^^•••••••^••||••••••••^••••••" in seen.text
    assert "MRN1" not in seen.response.text
    assert "Invented" not in seen.response.text


def test_a_rejection_is_replayed(fresh_pages: Pages) -> None:
    rejection = rejected(fresh_pages)
    browser = fresh_pages.signed_in("operator")
    assert browser.post(f"/rejections/{rejection}/replay").where == f"/rejections/{rejection}?done=applied"
    assert fresh_pages.requested == [("replay", rejection, "operator-general")]
