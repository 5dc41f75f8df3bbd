"""Suppression lists as files: whole, complete before they are remembered, and never losing a row between two of them."""

from __future__ import annotations

import csv
import json
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from store.domain.suppression import Suppression
from sync import exports
from sync.config.problems import UsageError
from sync.exports import SuppressionList, write_list

NOW = datetime(2026, 12, 1, 8, 0, tzinfo=UTC)
WHICH = SuppressionList("general", "broadcast", "sms", "+12175550190")
A, B, C = "+12175550101", "+12175550102", "+12175550103"


def rows(*addresses: str) -> dict[str, Suppression]:
    return {one: Suppression(one, "sms_opted_out", NOW) for one in addresses}


def write(folder: Path, minute: int, *addresses: str, delta: bool = True) -> exports.WrittenList:
    return write_list(folder, WHICH, lambda: rows(*addresses), NOW + timedelta(minutes=minute), delta=delta)


def loaded(folder: Path) -> set[str]:
    """What a sender has who loads the lists with a marker in the order of their names."""
    found: set[str] = set()
    for marker in sorted(folder.glob("*.done")):
        found = set() if json.loads(marker.read_text())["kind"] == "full" else found
        with (folder / f"{marker.stem}.csv").open(newline="") as stream:
            for row in csv.DictReader(stream):
                (found.add if row["change"] == "add" else found.discard)(row["address"])
    return found


def test_a_full_list_and_the_deltas_after_it_make_the_same_list(tmp_path: Path) -> None:
    assert write(tmp_path, 0, A, B)[:3] == ("full", 2, 0), "the first one is whole"
    assert write(tmp_path, 1, B, C)[:3] == ("delta", 1, 1)
    assert loaded(tmp_path) == {B, C}
    assert write(tmp_path, 2, B, C)[:3] == ("delta", 0, 0)
    assert write(tmp_path, 3, A, delta=False)[:3] == ("full", 1, 0)
    assert write(tmp_path, 4, A, B)[:3] == ("delta", 1, 0)
    assert loaded(tmp_path) == {A, B}


def test_a_list_is_csv_and_bare_addresses_that_only_its_user_can_read(tmp_path: Path) -> None:
    write(tmp_path, 0, A, B)
    written = write(tmp_path, 1, B)
    table, added, removed = ((tmp_path / name).read_text() for name in written.files)
    assert table.splitlines() == [
        "change,address,channel,line,reason,since",
        f"remove,{A},sms,{WHICH.line},sms_opted_out,{NOW.isoformat()}",
    ]
    assert (added, removed) == ("", f"{A}\n")
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}


def test_a_marker_names_the_list_before_so_that_a_gap_is_noticed(tmp_path: Path) -> None:
    for minute in range(3):
        write(tmp_path, minute, A)
    markers = sorted(tmp_path.glob("*.done"))
    assert [json.loads(one.read_text())["after"] for one in markers] == [None, markers[0].name, markers[1].name]


def dying(place: int) -> Callable[[Path, str], None]:
    """Writes so many files, and then none."""
    done, whole = iter(range(place)), exports._write

    def dies(file: Path, text: str) -> None:
        if next(done, None) is None:
            raise OSError("no space left on device")
        whole(file, text)

    return dies


@pytest.mark.parametrize("place", range(6))
def test_a_run_that_dies_at_any_point_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    write(tmp_path, 0, A)
    with monkeypatch.context() as patch:
        patch.setattr(exports, "_write", dying(place))
        with pytest.raises(OSError, match="no space"):
            write(tmp_path, 1, A, B)
    write(tmp_path, 2, A, B, C)
    assert loaded(tmp_path) == {A, B, C}


@pytest.mark.parametrize("place", range(6))
def test_what_a_list_added_that_died_before_it_was_remembered_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    """Otherwise a sender who loaded it keeps an address of which no later list knows."""
    write(tmp_path, 0, A)
    with monkeypatch.context() as patch:
        patch.setattr(exports, "_write", dying(place))
        with pytest.raises(OSError, match="no space"):
            write(tmp_path, 1, A, B)
    write(tmp_path, 2, A)
    assert loaded(tmp_path) == {A}


def test_lists_of_other_lines_and_channels_are_separate(tmp_path: Path) -> None:
    write(tmp_path, 0, A)
    assert write_list(tmp_path, SuppressionList("general", "broadcast", "voice", None), lambda: rows(B), NOW, delta=True).kind == "full"
    of_another = write_list(tmp_path, WHICH._replace(enterprise="other"), lambda: rows(B), NOW, delta=True)
    assert (of_another.kind, of_another.removed) == ("full", 0)


def test_nothing_is_read_while_another_run_writes_the_list(tmp_path: Path) -> None:
    write(tmp_path, 0, A)

    def read() -> dict[str, Suppression]:
        with pytest.raises(UsageError, match="another export"):
            write(tmp_path, 2, A, B)
        return rows(A)

    write_list(tmp_path, WHICH, read, NOW + timedelta(minutes=1), delta=True)
    write(tmp_path, 2, A, B)
    assert loaded(tmp_path) == {A, B}


def test_a_list_is_named_after_the_one_before_it_even_if_the_clock_was_set_back(tmp_path: Path) -> None:
    write(tmp_path, 60, A)
    write(tmp_path, 0, A, B)
    write(tmp_path, 1, B)
    assert loaded(tmp_path) == {B}
    write(tmp_path, 2, B, C, delta=False)
    assert loaded(tmp_path) == {B, C}


def test_an_unreadable_record_of_the_last_list_stops_a_delta_but_not_a_full_list(tmp_path: Path) -> None:
    write(tmp_path, 0, A)
    for text in ("", "{}", '["x", {"a": 1}]', '["x", {}]', '["x-y-full.done", {}]'):
        (tmp_path / f".{WHICH.name}.state").write_text(text)
        with pytest.raises(UsageError, match="without --delta"):
            write(tmp_path, 1, A)
    assert write(tmp_path, 2, A, delta=False).kind == "full"


def test_two_runs_never_write_one_list_at_once(tmp_path: Path) -> None:
    with exports._alone(tmp_path / f".{WHICH.name}.lock"), pytest.raises(UsageError, match="another export"):
        write(tmp_path, 0, A)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        write(tmp_path / "none", 0, A)
