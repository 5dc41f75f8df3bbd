"""A set that was read in part continues behind the last commit; what a crash left unmoved is moved by the next run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.base import Batch, Fetch
from adapters.files.adapter import DelimitedAdapter
from adapters.folders import drop_folder
from tests.adapters.files.made import DNC, JOINED, LONG, MEDIA, SMS_ROW, Result, adapter, joined, names, write

PATIENTS = 3 * drop_folder.BATCH + 7


def fill(folder: Path) -> None:
    rows = [f"M{number:05},SMS,{'YN'[number % 2]}" for number in range(PATIENTS)]
    write(folder, "long_20261128.csv", "ID,CONCEPT,ANSWER", *rows[::-1], "M00001,CALL,Y", "broken")


def until_killed(reader: DelimitedAdapter, commits: int, cursor: str | None = None) -> tuple[list[Batch], str | None]:
    """The batches that were committed before the process died while it read the next one, and the cursor that was committed."""
    fetching: Iterator[Batch] = reader.fetch(Fetch(cursor=cursor))
    committed: list[Batch] = []
    for batch in fetching:
        if batch.wait is not None:
            continue
        if len(committed) == commits:
            break
        committed.append(batch)
        cursor = batch.cursor or cursor
    fetching.close()
    return committed, cursor


def patients(batches: list[Batch]) -> list[str]:
    return [item.identifiers[0].value for batch in batches for item in batch.items if hasattr(item, "identifiers")]


@pytest.mark.parametrize("commits", [0, 1, 2, 3, 4])
def test_a_set_continues_behind_the_last_commit(tmp_path: Path, commits: int) -> None:
    fill(tmp_path)
    reader = adapter(tmp_path, LONG, SMS_ROW)
    before, cursor = until_killed(reader, commits)
    after = Result(reader, cursor)
    found = patients(before) + patients(after.batches)
    assert sorted(found) == [f"M{number:05}" for number in range(PATIENTS)], "each patient once"
    assert len(found) == PATIENTS
    assert names(tmp_path / "done") == ["long_20261128.csv"]
    assert "M00" not in (cursor or "")


def test_the_progress_bar_knows_the_total(tmp_path: Path) -> None:
    fill(tmp_path)
    reader = adapter(tmp_path, LONG, SMS_ROW)
    whole = [batch.total for batch in Result(reader, dry=True).batches if batch.items]
    assert whole == [PATIENTS + 1] * 4, "with the broken row"
    _, cursor = until_killed(reader, 2)
    rest = [batch.total for batch in Result(reader, cursor).batches if batch.items]
    assert rest == [PATIENTS + 1 - 2 * drop_folder.BATCH] * 2


def test_another_mapping_or_content_is_read_from_the_beginning(tmp_path: Path) -> None:
    fill(tmp_path)
    _, cursor = until_killed(adapter(tmp_path, LONG, SMS_ROW), 2)
    rules = {"consent.sms": SMS_ROW["consent.sms"] | {"on_absent": "clear"}}
    assert len(Result(adapter(tmp_path, LONG, rules), cursor, dry=True).patients) == PATIENTS
    write(tmp_path, "long_20261128.csv", "ID,CONCEPT,ANSWER", "M1,SMS,Y")
    assert len(Result(adapter(tmp_path, LONG, SMS_ROW), cursor).patients) == 1


def test_a_full_read_does_not_continue_another_one_but_itself(tmp_path: Path) -> None:
    fill(tmp_path)
    reader = adapter(tmp_path, LONG, SMS_ROW)
    _, cursor = until_killed(reader, 2)
    full = Result(reader, cursor, full=True, dry=True)
    assert len(full.patients) == PATIENTS
    again = Result(reader, full.batches[1].cursor, full=True, dry=True)
    assert len(again.patients) < PATIENTS


def test_files_that_a_crash_left_are_moved_and_not_read_again(tmp_path: Path) -> None:
    joined(tmp_path, ["M1,7"], ["7,1,Recall"], ["7,1,T"])
    reader = adapter(tmp_path, JOINED, MEDIA)
    fetching = reader.fetch(Fetch())
    cursor = next(batch.cursor for batch in fetching if batch.cursor and '"progress":null' in batch.cursor)
    fetching.close()  # everything is committed, nothing is moved
    (tmp_path / "done").mkdir()
    (tmp_path / "media_20261128.csv").rename(tmp_path / "done" / "media_20261128.csv")  # or only one file
    found = Result(reader, cursor)
    assert (found.items, found.error, names(tmp_path)) == ([], "", [])
    assert len(names(tmp_path / "done")) == 3


def test_a_rejected_set_goes_to_error_also_after_a_crash(tmp_path: Path) -> None:
    joined(tmp_path, ["M1,7"], ["7,1,Recall"], ["7,1,T"])
    write(tmp_path, "media_20261128.csv", "WRONG")
    reader = adapter(tmp_path, JOINED, MEDIA)
    fetching = reader.fetch(Fetch())
    cursor = next(batch.cursor for batch in fetching if batch.cursor)
    fetching.close()
    assert Result(reader, cursor).items == []
    assert len(names(tmp_path / "error")) == 3


@pytest.mark.parametrize(
    "cursor", ["nonsense", "[]", "{}", '{"newest":5}', '{"progress":{"x":1}}', "2026-11-01T12:00:00+00:00", '{"settled":[1]}']
)
def test_a_cursor_of_another_kind_of_source_means_that_nothing_was_read(tmp_path: Path, cursor: str) -> None:
    write(tmp_path, "wide_20261128.csv", "ID,DNC", "M1,Y")
    assert list(Result(adapter(tmp_path, mapping=DNC), cursor).stated) == ["M1"]


def test_the_temporary_database_leaves_nothing_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path / "temporary"))
    fill(tmp_path / "in")
    reader: Any = adapter(tmp_path / "in", LONG, SMS_ROW)
    for _ in reader.fetch(Fetch()):
        assert list((tmp_path / "temporary").iterdir()) == []
