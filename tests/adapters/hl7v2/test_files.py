"""The local drop folder."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from adapters.base import AdapterError, Batch, Fetch, Payload, Unmappable
from adapters.hl7v2.files import FilesAdapter, payloads
from adapters.locators import opaque
from store.preference import PatientMerge, PatientStatements
from tests.adapters.hl7v2.messages import RECEIVED, adt, settings


def adapter(folder: Path, **options: Any) -> FilesAdapter:
    return FilesAdapter(settings(adapter="hl7v2.files", options={"path": str(folder), "settle": 0, **options}))


def read_all(folder: Path, **options: Any) -> list[Batch]:
    return list(adapter(folder, **options).fetch(Fetch()))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []


def test_it_works(tmp_path: Path) -> None:
    (tmp_path / "b.hl7").write_bytes(adt() + adt("A11"))
    (tmp_path / "a.hl7").write_bytes(adt("A40", "MRG|MRN2"))
    batches = read_all(tmp_path)
    assert [type(item) for item in batches[0].items] == [PatientMerge]
    assert [item.locator for item in batches[1].items] == [f"{opaque('b.hl7')}#1", f"{opaque('b.hl7')}#2"]
    assert list(batches[1].payloads) == [adt(), adt("A11")]
    assert names(tmp_path) == []
    assert names(tmp_path / "done") == ["a.hl7", "b.hl7"]


def test_a_file_is_moved_only_when_its_messages_are_committed(tmp_path: Path) -> None:
    (tmp_path / "a.hl7").write_bytes(adt())
    (tmp_path / "b.hl7").write_bytes(adt())
    fetching = adapter(tmp_path).fetch(Fetch())
    next(fetching)
    assert names(tmp_path) == ["a.hl7", "b.hl7"]
    next(fetching)
    assert names(tmp_path) == ["b.hl7"]
    fetching.close()  # the process dies before the commit
    assert names(tmp_path) == ["b.hl7"]
    assert len(read_all(tmp_path)) == 1


def test_a_dry_read_leaves_the_file_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.hl7").write_bytes(adt())
    assert len(list(adapter(tmp_path).fetch(Fetch(dry=True)))) == 1
    assert names(tmp_path) == ["a.hl7"]


def test_a_file_without_anything_usable_goes_to_error(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_bytes(b"dear colleague")
    (tmp_path / "empty.hl7").write_bytes(b"")
    (batch,) = read_all(tmp_path)
    assert [item.reason for item in batch.items if isinstance(item, Unmappable)] == ["not_hl7"]
    assert names(tmp_path / "error") == ["empty.hl7", "letter.txt"]


def test_a_file_that_is_still_being_written_is_not_read(tmp_path: Path) -> None:
    for name in ("new.hl7", "upload.hl7.tmp", "upload.part", ".hidden", "old.hl7"):
        (tmp_path / name).write_bytes(adt())
    os.utime(tmp_path / "old.hl7", (1, 1))
    read_all(tmp_path, settle=3600)
    assert names(tmp_path / "done") == ["old.hl7"]


def test_a_file_that_grew_while_it_was_read_is_not_moved(tmp_path: Path) -> None:
    path = tmp_path / "a.hl7"
    path.write_bytes(adt())
    fetching = adapter(tmp_path).fetch(Fetch())
    next(fetching)
    path.write_bytes(adt() + adt())
    assert list(fetching) == []
    assert names(tmp_path) == ["a.hl7"]


def test_a_moved_file_does_not_overwrite_another_of_the_same_name(tmp_path: Path) -> None:
    for _ in range(3):
        (tmp_path / "a.hl7").write_bytes(adt())
        read_all(tmp_path)
    assert names(tmp_path / "done") == ["a.hl7", "a.hl7.1", "a.hl7.2"]


def test_a_large_file_is_read_in_batches(tmp_path: Path) -> None:
    (tmp_path / "a.hl7").write_bytes(adt() * 2500)
    assert [len(batch.items) for batch in read_all(tmp_path)] == [1000, 1000, 500]


def test_each_pair_of_a_merge_has_the_payload(tmp_path: Path) -> None:
    body = adt("A40", "MRG|MRN2", "PID|||MRN3^^^GENHOSP^MR", "MRG|MRN4")
    (tmp_path / "a.hl7").write_bytes(body)
    (batch,) = read_all(tmp_path)
    assert len(batch.items) == 2
    assert list(batch.payloads) == [body, body]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_files_in_unicode_are_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.hl7"
    path.write_bytes((adt(f5="Zoë^Pat".encode().decode()) * 2).decode().encode(encoding))
    items = [item for payload in payloads(path) for item in adapter(tmp_path).mapper.read(payload)]
    assert [item.statements["display_name"].value for item in items if isinstance(item, PatientStatements)] == ["Pat Zoë"] * 2


def test_an_mllp_dump_is_read(tmp_path: Path) -> None:
    path = tmp_path / "dump"
    path.write_bytes(b"".join(b"\x0b" + adt() + b"\x1c\r" for _ in range(3)))
    items = [item for payload in payloads(path) for item in adapter(tmp_path).mapper.read(payload)]
    assert [type(item) for item in items] == [PatientStatements] * 3


def test_memory_stays_flat_over_a_large_file(tmp_path: Path) -> None:
    path = tmp_path / "large.hl7"
    path.write_bytes(adt() * 60_000)
    tracemalloc.start()
    try:
        assert sum(1 for _ in payloads(path)) == 60_000
        assert tracemalloc.get_traced_memory()[1] < 3 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_a_missing_folder_stops_the_source(tmp_path: Path) -> None:
    with pytest.raises(AdapterError) as error:
        read_all(tmp_path / "nowhere")
    assert error.value.permanent
    assert [finding.ok for finding in adapter(tmp_path / "nowhere").check()] == [False]


def test_a_source_without_a_path_names_the_setting() -> None:
    nameless = FilesAdapter(settings(adapter="hl7v2.files"))
    assert "'path'" in next(iter(nameless.check())).detail
    with pytest.raises(AdapterError, match="'path'"):
        list(nameless.fetch(Fetch()))


def test_check_counts_waiting_files(tmp_path: Path) -> None:
    (tmp_path / "a.hl7").write_bytes(adt())
    findings = list(adapter(tmp_path).check())
    assert all(finding.ok for finding in findings)
    assert findings[-1].detail.startswith("1 ")


def batched(messages: int, count: int | str, *, batches: int | str = 1) -> bytes:
    return b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + adt() * messages + f"BTS|{count}\rFTS|{batches}\r".encode()


def reasons(folder: Path) -> list[str]:
    return [item.reason for batch in read_all(folder) for item in batch.items if isinstance(item, Unmappable)]


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        (batched(3, 3), 0),
        (batched(3, ""), 0),
        (batched(3, "three"), 0),
        (batched(3, 4), 1),
        (batched(3, 2), 1),
        (batched(3, 3, batches=2), 1),
        (batched(3, 4, batches=2), 2),
        (batched(1, 1) + batched(2, 2), 0),
        (batched(1, 2) + batched(2, 2), 1),
        (b"FHS|^~\\&|A\r" + adt() * 2 + b"FTS|1\r", 0),
        (b"BHS|^~\\&|A\r" + adt() * 2 + b"BTS|2\rBHS|^~\\&|A\r" + adt() + b"BTS|1\r", 0),
        (b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + adt() + b"BTS|1\rBHS|^~\\&|A\r" + adt() + b"BTS|1\rFTS|2\r", 0),
    ],
)
def test_the_counts_of_a_batch_are_checked(tmp_path: Path, body: bytes, wrong: int) -> None:
    (tmp_path / "batch.hl7").write_bytes(body)
    assert reasons(tmp_path) == ["batch_count_mismatch"] * wrong


def test_a_batch_with_a_wrong_count_is_applied(tmp_path: Path) -> None:
    (tmp_path / "batch.hl7").write_bytes(batched(3, 4))
    (batch,) = read_all(tmp_path)
    assert [type(item).__name__ for item in batch.items] == ["PatientStatements"] * 3 + ["Unmappable"]
    (rejection,) = [item for item in batch.items if isinstance(item, Unmappable)]
    assert (rejection.path, rejection.payload, rejection.locator) == ("BTS-1", b"BTS|4", f"{opaque('batch.hl7')}#4")


HEAD = b"FHS|^~\\&|A\rBHS|^~\\&|B\r"


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        (HEAD + adt() * 2, ["BHS"]),
        (HEAD + adt() * 2 + b"FTS|1\r", ["BHS"]),
        (HEAD + adt() * 2 + b"BTS|2\r", ["FHS"]),
        (b"BHS|^~\\&|B\r" + adt(), ["BHS"]),
        (b"BHS|^~\\&|B\r" + adt() + b"BHS|^~\\&|B\r" + adt() + b"BTS|1\r", ["BHS"]),
        (HEAD + adt() + HEAD + adt() + b"BTS|1\rFTS|1\r", ["BHS"]),
        (b"FHS|^~\\&|A\r" + adt(), ["FHS"]),
        (HEAD, ["BHS"]),
        (b"BHS|^~\\&|B\r", ["BHS"]),
        (HEAD + b"BTS|0\rFTS|1\r", []),
        (adt() + b"BTS|1\r", []),
        (adt(f5="BHS^FHS"), []),
    ],
)
def test_a_batch_without_a_trailer_is_reported(tmp_path: Path, body: bytes, paths: list[str]) -> None:
    (tmp_path / "batch.hl7").write_bytes(body)
    items = [item for batch in read_all(tmp_path) for item in batch.items]
    assert [(one.reason, one.path) for one in items if isinstance(one, Unmappable)] == [("batch_truncated", path) for path in paths]
    assert sum(isinstance(one, PatientStatements) for one in items) == body.count(b"MSH"), "what came of it is applied"


def test_a_batch_without_a_trailer_in_one_frame_is_reported(tmp_path: Path) -> None:
    frame = Payload(HEAD + adt() * 2, "genhosp-adt:1#1", RECEIVED)
    items = adapter(tmp_path).mapper.read(frame)
    assert [one.reason for one in items if isinstance(one, Unmappable)] == ["batch_truncated"]


def test_a_batch_in_one_frame_is_counted_too(tmp_path: Path) -> None:
    frame = Payload(batched(3, 4), "genhosp-adt:1#1", RECEIVED)
    items = adapter(tmp_path).mapper.read(frame)
    assert [item.reason for item in items if isinstance(item, Unmappable)] == ["batch_count_mismatch"]
    assert len(items) == 4


def kept(folder: Path, cursor: str | None = None, **request: Any) -> list[Batch]:
    return list(adapter(folder, after="keep").fetch(Fetch(cursor=cursor, **request)))


def test_kept_files_are_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.hl7").write_bytes(adt())
    (tmp_path / "b.hl7").write_bytes(adt() * 2500)
    first = kept(tmp_path)
    assert [len(batch.items) for batch in first] == [1, 1000, 1000, 500]
    assert names(tmp_path) == ["a.hl7", "b.hl7"]
    assert kept(tmp_path, first[-1].cursor) == []
    assert len(kept(tmp_path, first[-1].cursor, full=True)) == 4


def test_a_kept_file_that_was_read_in_part_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "a.hl7").write_bytes(adt() * 2500)
    first, second, third = kept(tmp_path)
    assert (first.cursor, second.cursor) == (None, None)
    assert third.cursor is not None


def test_a_changed_kept_file_is_read_again_and_a_deleted_one_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "a.hl7").write_bytes(adt())
    (tmp_path / "b.hl7").write_bytes(adt())
    cursor = kept(tmp_path)[-1].cursor
    (tmp_path / "a.hl7").write_bytes(adt() * 2)
    (tmp_path / "b.hl7").unlink()
    (batch,) = kept(tmp_path, cursor)
    assert len(batch.items) == 2
    assert batch.cursor is not None
    assert "b.hl7" not in batch.cursor


def test_an_empty_kept_file_is_remembered(tmp_path: Path) -> None:
    (tmp_path / "empty.hl7").write_bytes(b"")
    (batch,) = kept(tmp_path, "not of this adapter")
    assert (batch.items, kept(tmp_path, batch.cursor)) == ([], [])
