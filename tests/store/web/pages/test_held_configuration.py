"""A held configuration change on the pages of the console."""

from __future__ import annotations

from dataclasses import replace

from store.holds.configuration_change import Proposal
from tests.store.web.conftest import ENTERPRISES, NOW
from tests.store.web.pages.conftest import Pages


def held_configuration(pages: Pages) -> str:
    database, configured = pages.store.database, ENTERPRISES["general"]
    Proposal(database, configured).propose(lambda synced, patients: True, NOW)
    found = Proposal(database, replace(configured, syncs=False)).propose(lambda synced, patients: patients < 1, NOW)
    assert found is not None
    return found.run_id


def test_a_held_configuration_is_listed_with_the_sources_and_decided_by_a_person(fresh_pages: Pages) -> None:
    browser = fresh_pages.signed_in("operator")
    assert "The changed configuration is held" not in browser.get("/sources").text
    run = held_configuration(fresh_pages)
    assert "held by the safeguard because it would make 1 patient more contactable" in browser.get("/sources").text
    page = browser.get(f"/runs/{run}")
    assert "The previous configuration stays in effect" in page.text
    assert "restore the configuration file" in page.text
    assert ">Reject<" not in page.response.text
    assert browser.post(f"/runs/{run}/reject").status == 422
    assert browser.post(f"/runs/{run}/approve").status == 303
    assert "Approved for 1 patient by operator:" in browser.get(f"/runs/{run}").text
    assert "The changed configuration is held" not in browser.get("/sources").text
