"""A broken mapping, from its first run to a person's decision, in the console of the real service, with the sender's answers meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from adapters.rehearsal.chart import GROUPS
from adapters.rehearsal.emr import RehearsalEmr
from tests.functional.browsing import Hospital, enter, press, tab_to
from tests.store.web.pages.browser import chrome as chrome
from tests.store.web.pages.browser import opened_tab

PATIENTS = 1_000
UPSIDE_DOWN = {"true": "no", "false": "yes"}


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Hospital]:
    """Every patient on file by the right mapping."""
    folder = tmp_path_factory.mktemp("hospital")
    (folder / "hospital.db").write_bytes(sqlite_template.read_bytes())
    with RehearsalEmr(patients=PATIENTS, seed=3) as emr:
        found = Hospital(emr, folder)
        found.fill()
        for _ in range(GROUPS):
            emr.tick()  # every record was touched since, so the next run reads them all
        yield found


@pytest.fixture
def hospital(clinic: Hospital, tmp_path: Path) -> Iterator[Hospital]:
    """The service, running with an inverted mapping."""
    broken = clinic.emr.mapping["fhir"]["do_not_contact"] | {"values": UPSIDE_DOWN}
    with clinic.serving(clinic.configured(tmp_path, rehearsal_fhir={"do_not_contact": broken})):
        yield clinic


def decisions_without_contact(hospital: Hospital) -> Counter[tuple[str, bool]]:
    """Checks that no patient who refused may be contacted."""
    return Counter({("do_not_send", True): len(hospital.refusing())})


def held_by(page: Page, hospital: Hospital) -> None:
    """Waits for the end of the run and opens the page of its held changes."""
    expect(page.get_by_text("HELD", exact=True)).to_be_visible()
    page.reload()
    refusing = len(hospital.refusing())
    expect(page.get_by_role("heading", name="Held by the safeguard")).to_be_visible()
    expect(page.get_by_role("region", name="Held changes")).to_contain_text("do not contact")
    expect(page.get_by_role("region", name="Held changes")).to_contain_text("yes → no")
    assert refusing > 50  # what the safeguard permits
    assert hospital.decisions(hospital.refusing()) == decisions_without_contact(hospital)


@pytest.mark.timeout(300)
def test_a_broken_mapping_is_held_reviewed_and_rejected_and_senders_never_get_another_answer(chrome: Browser, hospital: Hospital) -> None:
    assert hospital.decisions(hospital.refusing()) == decisions_without_contact(hospital)
    with opened_tab(chrome, hospital.address) as page:
        enter(page, hospital, "operator")
        page.get_by_role("link", name="Sources").click()
        page.get_by_role("link", name="Rehearsal EMR (FHIR)").click()
        page.get_by_role("button", name="Resync now").click()
        held_by(page, hospital)
        page.get_by_text("Examples").click()
        expect(page.get_by_text("Patient.extension").first).to_be_visible()
        page.get_by_role("button", name="Reject").click()
        expect(page.get_by_role("status")).to_contain_text("Nothing else changes")
        expect(page.get_by_role("button", name="Reject")).to_have_count(0)
        expect(page.get_by_role("heading", name="Decisions")).to_be_visible()
    assert hospital.decisions(hospital.refusing()) == decisions_without_contact(hospital)


@pytest.mark.timeout(300)
def test_a_held_run_is_approved_with_the_keyboard_alone_and_only_then_may_senders_send(chrome: Browser, hospital: Hospital) -> None:
    assert hospital.decisions(hospital.refusing()) == decisions_without_contact(hospital)
    with opened_tab(chrome, hospital.address) as page:
        page.goto("/sign-in")
        tab_to(page, page.get_by_label("Name"))
        page.keyboard.type("operator-clinic")
        tab_to(page, page.get_by_label("Password"))
        page.keyboard.type(hospital.passwords["operator-clinic"])
        page.keyboard.press("Enter")
        press(page, page.get_by_role("link", name="Sources"))
        press(page, page.get_by_role("link", name="Rehearsal EMR (FHIR)"))
        expect(page.get_by_role("heading", name="Rehearsal EMR (FHIR)")).to_be_visible()
        press(page, page.get_by_role("button", name="Resync now"))
        held_by(page, hospital)
        press(page, page.get_by_text("Approve …"))
        press(page, page.get_by_role("button", name="Yes, approve"))
        expect(page.get_by_role("status")).to_contain_text("in effect")
    decisions = hospital.decisions(hospital.refusing())
    assert decisions["send", False] > 0
    assert {refused for _, refused in decisions} == {False}
