"""A rejection, from the EMR's message to a sender's decision, in the console of the real service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect

from adapters.rehearsal.emr import RehearsalEmr
from tests.functional.browsing import ADT, Hospital, enter
from tests.store.web.pages.browser import chrome as chrome
from tests.store.web.pages.browser import opened_tab

REPLAYED = 0
UNMAPPED = {"values": {"OK": "no"}, "on_unknown": "reject"}


@pytest.fixture
def hospital(tmp_path: Path, sqlite_template: Path) -> Iterator[Hospital]:
    """A few patients on file. The first has since refused automations."""
    (tmp_path / "hospital.db").write_bytes(sqlite_template.read_bytes())
    with RehearsalEmr(patients=60, seed=3) as emr:
        found = Hospital(emr, tmp_path)
        found.fill()
        yield found


@pytest.mark.timeout(300)
def test_a_rejection_is_viewed_masked_and_replayed_after_the_mapping_is_fixed(chrome: Browser, hospital: Hospital, tmp_path: Path) -> None:
    mrn, message = changed_mind(hospital.emr)
    rule = hospital.emr.mapping["hl7v2"]["do_not_contact"]
    broken = hospital.configured(tmp_path, rehearsal_adt={"do_not_contact": rule | UNMAPPED})
    with hospital.serving(broken), opened_tab(chrome, hospital.address) as page:
        assert hospital.sent(ADT, broken, [message]) == 1
        assert hospital.decisions([mrn])["do_not_send", True] == 0
        enter(page, hospital, "operator")
        page.get_by_role("link", name="Rejections", exact=True).click()
        page.get_by_role("region", name="Rejections, newest first").get_by_role("link").first.click()
        where = page.url
        content = page.get_by_role("region", name="Masked content")
        expect(content).to_contain_text("ZCP|")
        expect(page.get_by_text("ZCP-2").first).to_be_visible()
        for shown in (mrn, hospital.emr.entry(REPLAYED).person.family):
            assert shown not in page.content()
        page.get_by_role("button", name="Replay").click()
        expect(page.get_by_role("alert")).to_contain_text("Still not usable")
    with hospital.serving(hospital.configured(tmp_path)), opened_tab(chrome, hospital.address) as page:
        enter(page, hospital, "operator")
        page.goto(urlsplit(where).path)
        page.get_by_role("button", name="Replay").click()
        expect(page.get_by_role("status")).to_contain_text("its data was applied")
        expect(page.get_by_role("button", name="Replay")).to_have_count(0)
        assert hospital.decisions([mrn])["do_not_send", True] == 1


def changed_mind(emr: RehearsalEmr) -> tuple[str, bytes]:
    """A patient who may be contacted, and the message with their refusal."""
    while (person := emr.entry(REPLAYED).person).do_not_contact is not True:
        for _ in range(25):
            emr.tick()
    return person.mrn, next(iter(emr.messages(indexes=[REPLAYED])))
