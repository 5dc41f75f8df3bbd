"""A real headless Chromium (Debian's) for the tests of the pages. Without it the tests are skipped; in CI they fail.

The headless shell is preferred: the same engine without the windows of a browser, for half of the processor time.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 60_000
"""What a machine that is busy with everything else may take for a page."""

MISSING = "no Chromium on this machine: make browser installs it"


def chromium() -> str:
    """The path of Chromium. Skips the test without it; fails in CI."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    return found


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    """One browser, shared by the tests of a module."""
    path = chromium()
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


@contextmanager
def opened_tab(chrome: Browser, url: str) -> Iterator[Page]:
    """A tab of a new browser profile. Console errors fail the test."""
    context = chrome.new_context(base_url=url)
    context.set_default_timeout(PATIENCE_MS)
    page, complaints = context.new_page(), []
    page.on("console", lambda line: complaints.append(line.text) if "Content Security Policy" in line.text else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        yield page
    finally:
        context.close()
    assert complaints == []
