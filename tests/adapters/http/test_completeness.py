"""Whether a list came whole, as a table: pages of (record ids, announced, beside, error)."""

from __future__ import annotations

import pytest

from adapters.http.completeness import IDLE_PAGES, CompletenessCheck

Page = tuple[list[int], int | None, int, str]


def missing(*pages: Page, trust_total: bool = True) -> str:
    whole = CompletenessCheck("Patient", trust_total)
    for keys, announced, beside, error in pages:
        whole.page(keys, announced=announced, included=beside, error=error)
    return whole.incomplete_reason()


@pytest.mark.parametrize(
    "pages",
    [
        [],
        [([], None, 0, "")],
        [([], 0, 0, "")],
        [([1, 2], 2, 0, "")],
        [([1, 2], None, 0, ""), ([3], None, 0, "")],
        [([1, 2], 3, 0, ""), ([3], None, 0, "")],  # announced on the first page only
        [([1, 2, 3], 2, 0, "")],  # more than announced: somebody is new
        [([1, 2], 3, 0, ""), ([2, 3], 3, 0, "")],  # a row came between: one comes twice
        [([1, 2], 4, 2, "")],  # servers that count what they include, against the standard
        [([1, 2], 2, 2, "")],
        [([1, 2], -1, 0, "")],
    ],
)
def test_a_list_that_is_whole(pages: list[Page]) -> None:
    assert missing(*pages) == ""


@pytest.mark.parametrize(
    ("pages", "told"),
    [
        ([([1, 2], 500, 0, "")], "the server announced 500 Patient records but sent 2"),
        ([([], 1, 0, "")], "announced 1 Patient records but sent 0"),
        ([([1, 2, 3], 6, 0, ""), ([5, 6], 5, 0, "")], "announced 6 Patient records but sent 5"),  # a row went away: the most counts
        ([([1, 2], 4, 0, ""), ([2, 1], 4, 0, "")], "announced 4 Patient records but sent 2"),  # the same twice is not four
        ([([1, 2], 5, 2, "")], "announced 5 Patient records but sent 2"),
        ([([1], 1, 0, "error: incomplete")], "the server reported an error in its Patient records (error: incomplete)"),
        ([([1], 1, 0, "a"), ([], 1, 0, "a"), ([], 1, 0, "b")], "(a); the server reported an error in its Patient records (b)"),
    ],
)
def test_a_list_that_is_not_says_why(pages: list[Page], told: str) -> None:
    assert told in missing(*pages)


def test_a_total_that_is_not_trusted_is_not_asked_and_an_error_is() -> None:
    assert missing(([1, 2], 500, 0, ""), trust_total=False) == ""
    assert missing(([1, 2], 2, 0, "error: exception"), trust_total=False) != ""


@pytest.mark.parametrize(("idle", "endless"), [(IDLE_PAGES - 1, False), (IDLE_PAGES, True)])
def test_pages_that_bring_nothing_new_end_after_a_while(idle: int, endless: bool) -> None:
    whole = CompletenessCheck("Patient")
    whole.page([1], announced=1)
    for _ in range(idle):
        whole.page([1], announced=1)
    assert (whole.endless, whole.incomplete_reason() != "") == (endless, endless)
    whole.page([2])
    assert not whole.endless, "somebody new after all"
