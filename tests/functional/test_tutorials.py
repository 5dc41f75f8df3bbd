"""The tutorials in docs, followed as they are written: every file, every command, and the output that they show."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.functional.browsing import sign_in
from tests.functional.tutorial import Tutorial, blocks, pattern
from tests.store.web.pages.browser import chrome as chrome
from tests.store.web.pages.browser import opened_tab

PAGES = sorted((Path(__file__).parents[2] / "docs" / "tutorials").glob("*.md"))


@pytest.fixture
def tutorial(tmp_path: Path) -> Iterator[Tutorial]:
    followed = Tutorial(tmp_path)
    yield followed
    followed.close()


@pytest.mark.parametrize("page", [one for one in PAGES if one.stem != "front-desk"], ids=lambda page: page.stem)
def test_a_tutorial_works_as_it_is_written(tutorial: Tutorial, page: Path) -> None:
    if "$ curl " in page.read_text("utf-8") and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    tutorial.follow(page)


def test_the_tutorial_of_the_front_desk_works_in_a_browser_as_it_is_written(tmp_path: Path, chrome: Browser) -> None:
    (page,) = (one for one in PAGES if one.stem == "front-desk")
    desk = Desk(chrome, " ".join(page.read_text("utf-8").split()))
    followed = Tutorial(tmp_path, lambda: desk.work(followed))
    try:
        followed.follow(page)
    finally:
        followed.close()
    assert desk.unused() == set()


class Desk:
    """What the page of the front desk says in prose, done in a browser. Every text in bold is used, and seen in the browser."""

    def __init__(self, chrome: Browser, page: str) -> None:
        self._chrome, self._bold, self._used = chrome, set(re.findall(r"\*\*(.+?)\*\*", page)), set[str]()

    def unused(self) -> set[str]:
        return self._bold - self._used

    def named(self, text: str) -> str:
        """A text of the browser that the page has in bold."""
        assert text in self._bold
        self._used.add(text)
        return text

    def work(self, tutorial: Tutorial) -> None:
        with opened_tab(self._chrome, tutorial.here("http://127.0.0.1:8080")) as browser:
            self._sign_in(browser, (tutorial.folder / "password.txt").read_text().strip())
            self._find(browser)
            self._ask_why(browser)
            self._opt_out(browser)

    def _sign_in(self, browser: Page, password: str) -> None:
        sign_in(browser, "robin", password)
        expect(browser.get_by_role("heading", name=self.named("Your password"))).to_be_visible()
        browser.get_by_label("Current password").fill(password)
        browser.get_by_label("New password", exact=True).fill("three unrelated words")
        browser.get_by_label("Repeat the new password").fill("three unrelated words")
        browser.get_by_role("button", name="Change password").click()
        browser.get_by_role("link", name=self.named("Continue")).click()

    def _find(self, browser: Page) -> None:
        for text in ("217 555 0102", "2 Feb 1980", "L-1002", "exa"):
            browser.goto("/patients")
            browser.get_by_label(self.named("Name, birth date, phone or identifier")).fill(text)
            browser.get_by_role("button", name=self.named("Find"), exact=True).click()
            expect(browser.get_by_text(self.named("Sam Example")).first).to_be_visible()
        expect(browser.get_by_text(self.named("DO NOT CONTACT"), exact=True)).to_be_visible()

    def _ask_why(self, browser: Page) -> None:
        browser.get_by_role("link", name="Sam Example").click()
        for text in ("What is allowed now", "What would a sender be told?"):
            expect(browser.get_by_role("heading", name=self.named(text))).to_be_visible()
        sheet = " ".join(browser.inner_text("main").split())
        for text in ("Automations: blocked, set in Lakeside EMR", "Automation"):
            assert self.named(text) in sheet
        assert self.named("To change it in Lakeside EMR: call the registration desk, 217-555-0100.") in sheet

    def _opt_out(self, browser: Page) -> None:
        browser.goto("/patients")
        browser.get_by_label("Name, birth date, phone or identifier").fill("exa")
        browser.get_by_role("button", name="Find", exact=True).click()
        browser.get_by_role("link", name=self.named("Pat Example")).click()
        browser.get_by_text(self.named("Record an opt-out …")).click()
        browser.get_by_label(self.named("every line")).check()
        browser.get_by_label(self.named("Reason"), exact=True).fill("asked by phone")
        browser.get_by_role("button", name=self.named("Opt out"), exact=True).click()
        expect(browser.get_by_text(self.named("Texts: blocked"))).to_be_visible()


def test_every_tutorial_is_in_the_list_of_pages() -> None:
    listed = (PAGES[0].parents[1] / "README.md").read_text("utf-8")
    assert [page.name for page in PAGES if f"(tutorials/{page.name})" not in listed] == []


def test_a_console_has_commands_with_the_lines_that_continue_them_and_their_output() -> None:
    (block,) = blocks("text\n```console\n$ cat <<END\n> one\n> END\none\n$ true\n```\n")
    assert [(one.text, one.shown) for one in block.commands] == [("cat <<END\none\nEND\n", "one\n"), ("true\n", "")]


@pytest.mark.parametrize(
    ("shown", "out", "fits"),
    [
        ("a  b\n", "a b   \n", True),
        ("a\n", "a\nb\n", False),
        ("a …\n", "a 12:30 c\n", True),
        ("a\n…\nd\n", "a\nb\nc\nd\n", True),
        ("…\nd\n", "d\n", True),
        ("a.c\n", "abc\n", False),
    ],
)
def test_output_is_compared_but_for_widths_and_omissions(shown: str, out: str, fits: bool) -> None:
    assert (pattern(shown).fullmatch(out) is not None) == fits


def test_wrong_output_and_a_failing_command_are_found(tutorial: Tutorial, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    for content in ("$ echo one\ntwo\n", "$ false\n", "$ emr-sync nonsense\n"):
        page.write_text(f"```console\n{content}```\n")
        with pytest.raises(AssertionError):
            tutorial.follow(page)
