"""Records in files, as engineers save them from an API."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from adapters.base import AdapterError
from adapters.locators import opaque
from adapters.rest.files import payloads
from store.preference import PatientStatements
from tests.adapters.rest.made import mapper

ONE, TWO = {"id": 1, "note": "a\nb"}, {"id": 2}


def bodies(path: Path, content: bytes, items: str = "results") -> list[tuple[str, object]]:
    path.write_bytes(content)
    return [(one.locator, json.loads(one.body)) for one in payloads(path, items)]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps({"results": [ONE, TWO], "next": None}),
        json.dumps({"results": [ONE, TWO]}, indent=2),
        json.dumps([ONE, TWO]),
        json.dumps([ONE, TWO], indent=2),
        gzip.compress(json.dumps([ONE, TWO]).encode(), mtime=0),
    ],
)
def test_an_answer_and_a_list_are_their_records(tmp_path: Path, content: str | bytes) -> None:
    written = content if isinstance(content, bytes) else content.encode()
    assert bodies(tmp_path / "p.json", written) == [(f"{opaque('p.json')}#0", ONE), (f"{opaque('p.json')}#1", TWO)]


def test_one_record_a_line(tmp_path: Path) -> None:
    lines = b"\n".join([json.dumps(ONE).encode(), b"", json.dumps(TWO).encode(), b""])
    assert [body for _, body in bodies(tmp_path / "p.ndjson", lines)] == [ONE, TWO]


def test_a_record_by_itself(tmp_path: Path) -> None:
    assert bodies(tmp_path / "p.json", json.dumps(ONE, indent=1).encode()) == [(f"{opaque('p.json')}#0", ONE)]
    assert bodies(tmp_path / "p.json", json.dumps(ONE).encode(), items="") == [(f"{opaque('p.json')}#0", ONE)]


def test_what_is_no_json_is_a_payload_too(tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    file.write_bytes(b"hello\nworld")
    assert [one.body for one in payloads(file, "")] == [b"hello\nworld"]
    file.write_bytes(b"")
    assert list(payloads(file, "")) == []


def test_a_file_says_when_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    file.write_text(json.dumps(ONE))
    (one,) = payloads(file, "")
    assert one.written is not None
    assert one.written.timestamp() == pytest.approx(file.stat().st_mtime)


def test_of_a_file_that_cannot_be_read_no_name_is_told(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"file-\w+ cannot be read"):
        list(payloads(tmp_path / "none.json", ""))
    broken = tmp_path / "b.json.gz"
    broken.write_bytes(gzip.compress(b"{}")[:-4])
    with pytest.raises(AdapterError, match="a damaged gzip file"):
        list(payloads(broken, ""))


@pytest.mark.parametrize("form", [b'{"id": 1, "dnc": "\xff"}\n{"id": 2}\n', b'{"patients": [{"id": 1, "dnc": "\xff"}, {"id": 2}]}'])
def test_an_illegible_text_takes_no_other_record_with_it(tmp_path: Path, form: bytes) -> None:
    file = tmp_path / "patients.json"
    file.write_bytes(form)
    rule = {"do_not_contact": {"from": "dnc", "values": {"Y": "yes"}, "on_unknown": "no_statement"}}
    items = [item for one in payloads(file, "patients") for item in mapper(rule).read(one)]
    assert [[problem.attribute for problem in item.problems] for item in items if isinstance(item, PatientStatements)] == [
        ["do_not_contact"],
        [],
    ]
