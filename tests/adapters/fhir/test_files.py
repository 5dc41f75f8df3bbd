from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path

import pytest

from adapters.base import AdapterError
from adapters.fhir.files import payloads
from adapters.locators import opaque
from tests.adapters.fhir.made import patient

LINE = json.dumps(patient()).encode()
PRETTY = json.dumps(patient(), indent=2).encode()


def read(tmp_path: Path, content: bytes) -> list[tuple[bytes, str]]:
    path = tmp_path / "export"
    path.write_bytes(content)
    return [(one.body, one.locator.replace(opaque("export"), "export")) for one in payloads(path)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\n\n", []),
        (LINE, [(LINE, "export:1")]),
        (LINE + b"\n" + LINE + b"\n", [(LINE, "export:1"), (LINE, "export:2")]),
        (b"\n" + LINE + b"\r\n\r\n" + LINE, [(LINE, "export:2"), (LINE, "export:4")]),
        (PRETTY, [(PRETTY, "export:1")]),
        (b"\n" + PRETTY + b"\n", [(PRETTY, "export:2")]),
        (b"broken\n" + LINE, [(b"broken", "export:1"), (LINE, "export:2")]),
        (LINE + b"\nbroken\n" + LINE, [(LINE, "export:1"), (b"broken", "export:2"), (LINE, "export:3")]),
        (b"broken\nworse\n" + LINE, [(b"broken", "export:1"), (b"worse", "export:2"), (LINE, "export:3")]),
        (b"broken\nworse", [(b"broken\nworse", "export:1")]),
        (b'{\n"resourceType": "Patient"', [(b'{\n"resourceType": "Patient"', "export:1")]),
    ],
)
def test_every_byte_ends_in_some_payload(tmp_path: Path, content: bytes, expected: list[tuple[bytes, str]]) -> None:
    assert read(tmp_path, content) == expected


def test_gzipped_file_reads_as_the_plain_one(tmp_path: Path) -> None:
    assert read(tmp_path, gzip.compress(LINE + b"\n" + LINE)) == read(tmp_path, LINE + b"\n" + LINE)


@pytest.mark.parametrize("content", [gzip.compress(LINE)[:-9], b"\x1f\x8bnot gzip at all"])
def test_broken_gzip_stops_with_a_reason(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(AdapterError, match="a damaged gzip file") as error:
        read(tmp_path, content)
    assert error.value.permanent


def test_missing_file_stops_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="cannot be read"):
        list(payloads(tmp_path / "nowhere"))


def test_lines_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "export"
    path.write_bytes((LINE + b"\n") * 50_000)
    tracemalloc.start()
    count = sum(1 for _ in payloads(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 50_000
    assert peak < path.stat().st_size / 10
