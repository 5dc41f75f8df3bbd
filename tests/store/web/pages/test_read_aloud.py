"""The order in which a screen reader reads a page, from the accessibility tree of a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.store.web.pages.browser import chrome as chrome
from tests.store.web.pages.browser import opened_tab
from tests.store.web.pages.conftest import serve_pages
from tests.store.web.pages.filled import Filled
from tests.store.web.pages.keyboard import enter

ANSWERS = ('heading "What is allowed now" [level=2]', "Texts:", "Calls:", "E-mail:", "Automations:")
FACESHEETS: dict[str, tuple[str, ...]] = {
    "MRN2": (
        'heading "Patient" [level=1]', *ANSWERS,
        'heading "Communication settings" [level=2]', "Do Not Contact: on", "Set in General Hospital EMR", "Phones",
        "Where the values come from", 'heading "Consent to texts" [level=2]', "Record an opt-out",
        'heading "What would a sender be told?" [level=2]', "Ask about a message",
        'heading "History" [level=2]',
    ),
    "LONG": (
        "[level=1]", "Born Nov 1934", "Find another patient", *ANSWERS, "Do Not Contact: off", "Phones", "preferred",
        "2 patients share this number", "Not locked", "Consent to e-mail", 'heading "Consent to texts" [level=2]', "about billing",
        'heading "History" [level=2]',
    ),
    "UNREAD": (
        'heading "Ada Example" [level=1]', "STOP on", "not readable in General Hospital EMR", "Check it in General Hospital EMR",
        'heading "Communication settings" [level=2]', "status:", "could not be read in a message from General Hospital EMR",
        'heading "Do Not Contact: off locked" [level=3]', 'heading "History" [level=2]',
    ),
    "BARE": ('heading "History" [level=2]', 'heading "Records merged into this one" [level=3]', "Origin of the merge of pt_", "Evidence"),
}  # fmt: skip
"""Patient -> what is read, in this order."""
SOURCE = (
    'heading "General Hospital EMR" [level=1]', 'heading "What is wrong now" [level=2]', "1 opt-out that the EMR did not accept",
    'heading "State" [level=2]', "Last received", 'heading "Push" [level=2]', "Last event", "Missed",
    'heading "Write-back of opt-outs" [level=2]', "Not accepted by the EMR", "see the reasons", 'heading "Runs" [level=2]',
)  # fmt: skip


@pytest.fixture(scope="module")
def filled(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    path = tmp_path_factory.mktemp("read-aloud") / "store.db"
    path.write_bytes(sqlite_template.read_bytes())
    served = serve_pages(f"sqlite:///{path}")
    yield Filled(next(served))
    assert next(served, None) is None


def read(chrome: Browser, filled: Filled, role: str, path: str) -> str:
    """What is in the accessibility tree of a page, with its folds open."""
    with opened_tab(chrome, filled.pages.url) as tab:
        enter(tab, filled.pages, role)
        tab.goto(path)
        tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        return tab.locator("main").aria_snapshot()


def in_order(tree: str, words: tuple[str, ...]) -> None:
    at = 0
    for one in words:
        assert one in tree[at:], f"{one} is not read after {tree[:at][-200:]}"
        at = tree.index(one, at)


@pytest.mark.parametrize("value", FACESHEETS)
def test_a_facesheet_is_read_aloud_answers_first(chrome: Browser, filled: Filled, value: str) -> None:
    in_order(read(chrome, filled, "staff", filled.patient(value)), FACESHEETS[value])


def test_a_source_is_read_aloud_with_what_is_wrong_first(chrome: Browser, filled: Filled) -> None:
    in_order(read(chrome, filled, "operator", "/sources/genhosp-adt"), SOURCE)
