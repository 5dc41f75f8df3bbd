"""All runs over all sources: filtered by source, state and time, a page at a time."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote

import pytest

from store.runs.runs import Run
from tests.store.web.pages.conftest import Browser, Pages
from tests.store.web.pages.test_held_configuration import held_configuration


@pytest.fixture
def browser(fresh_pages: Pages) -> Browser:
    return fresh_pages.signed_in("operator")


def run(pages: Pages, status: str, ago: timedelta, source: str = "genhosp-adt", enterprise: str = "general") -> Run:
    at = pages.moment() - ago
    return pages.journal.finish(pages.journal.start(source, enterprise, "full", now=at), status, None, at + timedelta(minutes=2))


def listed(browser: Browser, query: str = "") -> list[str]:
    """The ids of the runs on the page, in its order."""
    text = browser.get(f"/runs{query}").response.text
    return [part.partition('"')[0] for part in text.split('<a href="/runs/')[1:]]


def test_without_runs_the_page_says_so(browser: Browser) -> None:
    assert "No runs yet." in browser.get("/runs").text


def test_runs_of_all_sources_are_listed_newest_first(fresh_pages: Pages, browser: Browser) -> None:
    old, new = run(fresh_pages, "done", timedelta(days=3)), run(fresh_pages, "failed", timedelta(hours=2), "other")
    configuration = held_configuration(fresh_pages)
    run(fresh_pages, "done", timedelta(hours=1), "clinic", "local")
    assert listed(browser) == [configuration, new.id, old.id]
    assert "General Hospital EMR full done 2 minutes 0" in browser.get("/runs").text


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?source=genhosp-adt", [1, 3]),
        ("?state=failed", [2, 3]),
        ("?source=genhosp-adt&state=failed", [3]),
        ("?time=day", [1, 2]),
        ("?time=week&state=failed", [2, 3]),
        ("?source=&state=&time=", [1, 2, 3]),
        ("?source=none", []),
    ],
)
def test_runs_are_filtered(fresh_pages: Pages, browser: Browser, query: str, expected: list[int]) -> None:
    found = [
        run(fresh_pages, "done", timedelta(hours=1)),
        run(fresh_pages, "failed", timedelta(hours=2), "other"),
        run(fresh_pages, "failed", timedelta(days=3)),
    ]
    assert listed(browser, query) == [found[place - 1].id for place in expected]
    if not expected:
        assert "No runs match." in browser.get(f"/runs{query}").text


def test_older_runs_are_on_the_next_page(fresh_pages: Pages, browser: Browser) -> None:
    made = [run(fresh_pages, "done", timedelta(minutes=number)).id for number in range(53)]
    first = browser.get("/runs?state=done")
    assert listed(browser, "?state=done") == made[:50]
    where = first.response.text.partition("Older runs")[0].rpartition('href="')[2].partition('"')[0].replace("&amp;", "&")
    assert listed(browser, where.removeprefix("/runs")) == made[50:]


@pytest.mark.parametrize("query", ["state=odd", "time=year", "before=yesterday", "before=2026-01-01T00:00:00", f"state={quote('<b>')}"])
def test_an_odd_filter_is_refused(browser: Browser, query: str) -> None:
    seen = browser.get(f"/runs?{query}")
    assert seen.status == 422
    assert "the state or time in the address is unknown" in seen.text
    assert "<b>" not in seen.response.text


def test_runs_in_progress_refresh_with_their_filter(fresh_pages: Pages, browser: Browser) -> None:
    fresh_pages.journal.start("genhosp-adt", "general", "full", now=fresh_pages.moment())
    seen = browser.get("/runs?state=running")
    assert 'data-live="2"' in seen.response.text
    assert 'url=/runs?state=running&amp;live=1"' in seen.response.text
    assert browser.get("/runs?state=running", **{"x-emr-sync-live": "1"}).response.text.lstrip().startswith("<div")
