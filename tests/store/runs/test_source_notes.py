"""What adapters keep between runs, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from store.db.database import Database
from store.runs.source_notes import SourceNotes


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database.open(database_url)
    yield opened
    opened.close()


def test_notes_outlive_who_wrote_them(database: Database) -> None:
    SourceNotes(database, "feed", "clinic").change("budget", lambda text: f"{text} and 1")
    again = SourceNotes(database, "feed", "clinic")
    assert again.read("budget") == "None and 1"
    assert again.change("budget", lambda text: f"{text} and 2") == "None and 1 and 2"


def test_notes_of_one_source_are_nobody_elses(database: Database) -> None:
    SourceNotes(database, "feed", "clinic").change("budget", lambda _: "mine")
    assert SourceNotes(database, "other", "clinic").read("budget") is None
    assert SourceNotes(database, "feed", "clinic").read("members") is None


def test_a_change_is_one_step(database: Database) -> None:
    notes = SourceNotes(database, "feed", "clinic")
    threads = [threading.Thread(target=lambda: notes.change("count", lambda text: str(int(text or 0) + 1))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert notes.read("count") == "8"
