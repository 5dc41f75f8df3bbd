"""Going through the pages with Tab, Enter, Space and the arrows alone. Every stop of the focus must be seen."""

from __future__ import annotations

import re
from contextlib import nullcontext
from typing import Any

from playwright.sync_api import Page, expect

from tests.store.web.pages.conftest import Pages

STOPS = 120
FOCUSED = """() => {
  const one = document.activeElement, style = getComputedStyle(one), box = one.getBoundingClientRect()
  return {
    name: (one.getAttribute('aria-label') || one.labels?.[0]?.innerText || one.innerText || '').trim(),
    isShown: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 && box.width > 0
      && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
    isPage: one === document.body,
    leads: one.matches('a, button'),
  }
}"""


def focused(tab: Page) -> Any:
    """What has the focus: its name, and whether a person sees that it has it."""
    return tab.evaluate(FOCUSED)


def tab_to(tab: Page, name: str) -> None:
    """Presses Tab until an element whose name begins with these words has the focus. Fails if the focus is invisible on the way."""
    found, wanted = focused(tab), re.compile(rf"{re.escape(name)}(?!\w)")
    for _ in range(STOPS):
        if wanted.match(found["name"]):
            return
        tab.keyboard.press("Tab")
        found = focused(tab)
        assert found["isShown"] or found["isPage"], f"the focus on “{found['name']}” is not seen"
    raise AssertionError(f"the keyboard does not reach {name}")


def press(tab: Page, *names: str) -> None:
    """Goes to each element in turn and presses Enter. A link or button leads to a page, which is waited for; a fold opens."""
    for name in names:
        tab_to(tab, name)
        with tab.expect_navigation() if focused(tab)["leads"] else nullcontext():
            tab.keyboard.press("Enter")


def write(tab: Page, name: str, text: str) -> None:
    """Goes to a field and types."""
    tab_to(tab, name)
    tab.keyboard.type(text)


def enter(tab: Page, pages: Pages, role: str, enterprise: str = "general") -> None:
    """Signs in."""
    name, password = pages.user(role, enterprise)
    tab.goto("/sign-in")
    write(tab, "Name", name)
    write(tab, "Password", password)
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("button", name="Sign out")).to_be_visible()
