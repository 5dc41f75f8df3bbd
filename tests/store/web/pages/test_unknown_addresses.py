"""Addresses that do not exist: a page for browsers, problem details for everybody else, and nothing revealed to either."""

from __future__ import annotations

import pytest

from tests.store.web.pages.conftest import Browser, Pages

CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
JSON = "application/problem+json"
ADDRESSES = (
    "/nonsense",
    "/nonsense/below",
    "/patient/pt_1",
    "/runs/a/b/c",
    "/sign-inn",
    "/static/nonsense",
    "/static/0/nonsense",
    "/v1x",
    "/%3Cscript%3E",
)


def visitor(pages: Pages, role: str) -> Browser:
    return pages.signed_in(role) if role else pages.stranger()


@pytest.mark.parametrize("role", ["", "staff", "administrator"])
@pytest.mark.parametrize("path", ADDRESSES)
def test_a_browser_sees_a_page_at_an_address_that_does_not_exist(pages: Pages, role: str, path: str) -> None:
    seen = visitor(pages, role).get(path, accept=CHROME)
    assert (seen.status, seen.response.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "This page does not exist" in seen.text
    assert '<a href="/">Back to the start page</a>' in seen.response.text
    assert path.strip("/") not in seen.response.text


def test_the_page_is_the_same_for_everybody_and_has_the_headers_of_pages(pages: Pages) -> None:
    stranger, staff = (visitor(pages, role).get("/nonsense", accept=CHROME).response for role in ("", "staff"))
    known = pages.stranger().get("/sign-in").response
    assert stranger.text == staff.text
    for name in ("content-security-policy", "x-frame-options", "cache-control", "referrer-policy"):
        assert stranger.headers[name] == known.headers[name]
    assert "set-cookie" not in staff.headers


def test_a_browser_sees_a_page_where_only_a_form_may_be_sent(pages: Pages) -> None:
    seen = pages.stranger().get("/sign-out", accept=CHROME)
    assert (seen.status, seen.response.headers["allow"]) == (405, "POST, OPTIONS")
    assert "This page does not exist" in seen.text


@pytest.mark.parametrize("accept", ["*/*", "application/json", JSON, "", "image/png", "application/json, text/html;q=0.5"])
@pytest.mark.parametrize("path", ["/nonsense", "/static/nonsense", "/static/0/nonsense"])
def test_others_get_problem_details(pages: Pages, path: str, accept: str) -> None:
    response = pages.stranger().get(path, accept=accept).response
    assert (response.status_code, response.headers["content-type"], response.json()["code"]) == (404, JSON, "not_found")


@pytest.mark.parametrize(("path", "status"), [("/v1", 404), ("/v1/nonsense", 404), ("/v1/runs/a/b/c", 404), ("/v1/decisions", 405)])
def test_the_api_answers_browsers_with_problem_details(pages: Pages, path: str, status: int) -> None:
    response = pages.stranger().get(path, accept=CHROME).response
    assert (response.status_code, response.headers["content-type"]) == (status, JSON)
