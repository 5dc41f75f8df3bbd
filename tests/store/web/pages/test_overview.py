"""What waits for a person: on the overview, and on top of a source's page."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.store.web.conftest import CELL, LINE
from tests.store.web.pages.conftest import Browser, Pages
from tests.store.web.pages.test_causes import unread
from tests.store.web.pages.test_console import held, rejected
from tests.store.web.pages.test_held_configuration import held_configuration
from tests.store.web.pages.test_replies import ORDER

SOURCE = "/sources/genhosp-adt"


@pytest.fixture
def browser(fresh_pages: Pages) -> Browser:
    return fresh_pages.signed_in("operator")


def fail(pages: Pages, enterprise: str = "general", source: str = "genhosp-adt") -> None:
    run = pages.journal.start(source, enterprise, "full", now=pages.moment())
    pages.journal.finish(run, "failed", "the EMR does not answer", pages.moment())


def test_nothing_waits(browser: Browser) -> None:
    assert "Nothing waits for a person." in browser.get("/overview").text
    assert "What is wrong now Nothing. The last data was received" in browser.get(SOURCE).text


def test_everything_that_waits_is_listed_with_its_age_and_a_link(fresh_pages: Pages) -> None:
    configuration, run, rejection = held_configuration(fresh_pages), held(fresh_pages), rejected(fresh_pages)
    fresh_pages.store.record_reply("general", LINE, CELL, ORDER, fresh_pages.moment(), fresh_pages.moment())
    unread(fresh_pages, "MRN1")
    fail(fresh_pages)
    fresh_pages.moment.advance(timedelta(hours=3))
    browser = fresh_pages.signed_in("operator")
    seen = browser.get("/overview")
    for what in (
        "A changed configuration held for 1 patient 3 hours",
        "Changes that would permit contact held for 1 patient 3 hours",
        "1 reply that may mean an opt-out 3 hours",
        "1 rejection: Code unmapped: Do Not Contact at PV1-18 3 hours",
        "The last run failed 3 hours",
        "1 patient with data that cannot be read 3 hours",
    ):
        assert what in seen.text, what
    for where in (f"/runs/{configuration}", f"/runs/{run}", f"/rejections/{rejection}/cause", "/rejections?source=genhosp-adt"):
        assert f'href="{where}"' in seen.response.text
    assert "/replies" not in seen.response.text
    source = browser.get(SOURCE).text
    assert source.index("The last run failed") < source.index("Intake by hour")
    assert "A changed configuration" not in source


def test_the_oldest_comes_first(fresh_pages: Pages) -> None:
    rejected(fresh_pages)
    fresh_pages.moment.advance(timedelta(hours=30))
    fail(fresh_pages)
    text = fresh_pages.signed_in("operator").get("/overview").text
    assert text.index("1 rejection:") < text.index("No data for longer than 26 hours 4 hours") < text.index("The last run failed")
    assert "Check the connection: emr-sync check genhosp-adt." in text


def test_a_failed_run_waits_until_a_later_one_is_done(fresh_pages: Pages, browser: Browser) -> None:
    fail(fresh_pages)
    assert "The last run failed" in browser.get("/overview").text
    fresh_pages.moment.advance(timedelta(minutes=1))
    later = fresh_pages.journal.start("genhosp-adt", "general", "full", now=fresh_pages.moment())
    assert "The last run failed" in browser.get("/overview").text
    fresh_pages.journal.finish(later, "done", None, fresh_pages.moment())
    assert "The last run failed" not in browser.get("/overview").text


def test_nothing_of_another_enterprise_is_listed(fresh_pages: Pages) -> None:
    held_configuration(fresh_pages)
    held(fresh_pages)
    rejected(fresh_pages)
    unread(fresh_pages, "MRN1")
    fail(fresh_pages)
    fresh_pages.store.record_reply("general", LINE, CELL, ORDER, fresh_pages.moment(), fresh_pages.moment())
    assert "Nothing waits for a person." in fresh_pages.signed_in("operator", "local").get("/overview").text


def test_the_overview_is_the_first_page_of_an_operator(fresh_pages: Pages, browser: Browser) -> None:
    assert browser.get("/").where == "/overview"
