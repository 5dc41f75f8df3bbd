from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from adapters.base import AdapterError, Batch, Fetch, Unmappable
from adapters.hl7v2.files import FilesAdapter, payloads
from store.preference import PatientMerge, PatientStatements
from tests.adapters.hl7v2.messages import adt, settings


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
    assert [item.locator for item in batches[1].items] == ["b.hl7#1", "b.hl7#2"]
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


def test_a_file_that_is_still_written_to_is_left_alone(tmp_path: Path) -> None:
    for name in ("new.hl7", "upload.hl7.tmp", "upload.part", ".hidden", "old.hl7"):
        (tmp_path / name).write_bytes(adt())
    os.utime(tmp_path / "old.hl7", (1, 1))
    read_all(tmp_path, settle=3600)
    assert names(tmp_path / "done") == ["old.hl7"]


def test_a_file_that_grew_while_it_was_read_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.hl7"
    path.write_bytes(adt())
    fetching = adapter(tmp_path).fetch(Fetch())
    next(fetching)
    path.write_bytes(adt() + adt())
    assert list(fetching) == []
    assert names(tmp_path) == ["a.hl7"]


def test_a_file_of_a_name_that_was_there_before_overwrites_nothing(tmp_path: Path) -> None:
    for _ in range(3):
        (tmp_path / "a.hl7").write_bytes(adt())
        read_all(tmp_path)
    assert names(tmp_path / "done") == ["a.hl7", "a.hl7.1", "a.hl7.2"]


def test_a_large_file_comes_in_batches(tmp_path: Path) -> None:
    (tmp_path / "a.hl7").write_bytes(adt() * 2500)
    assert [len(batch.items) for batch in read_all(tmp_path)] == [1000, 1000, 500]


def test_a_merge_of_several_pairs_keeps_its_payload_beside_each(tmp_path: Path) -> None:
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


def test_a_folder_that_is_not_there_stops_the_source(tmp_path: Path) -> None:
    with pytest.raises(AdapterError) as error:
        read_all(tmp_path / "nowhere")
    assert error.value.permanent
    assert [finding.ok for finding in adapter(tmp_path / "nowhere").check()] == [False]


def test_a_source_without_a_folder_says_what_to_set() -> None:
    nameless = FilesAdapter(settings(adapter="hl7v2.files"))
    assert "'path'" in next(iter(nameless.check())).detail
    with pytest.raises(AdapterError, match="'path'"):
        list(nameless.fetch(Fetch()))


def test_check_counts_what_is_waiting(tmp_path: Path) -> None:
    (tmp_path / "a.hl7").write_bytes(adt())
    findings = list(adapter(tmp_path).check())
    assert all(finding.ok for finding in findings)
    assert findings[-1].detail.startswith("1 ")
