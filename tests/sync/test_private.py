"""Identifiers and texts are read from standard input, so that no command line shows them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.sync.clinic import CONFIG, KEYS, adt
from tests.sync.conftest import EmrSync

ASK = ("--type", "automation", "--channels", "sms,voice", "--json")


@pytest.fixture
def config(tmp_path: Path, sqlite_url: str, emr_sync: EmrSync, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(f"database: {sqlite_url}\n{KEYS}{CONFIG}")
    monkeypatch.setenv("EMR_SYNC_CONFIG", str(file))
    (tmp_path / "a08.hl7").write_text(adt(dnc="OK"))
    assert emr_sync("ingest", "adt", tmp_path / "a08.hl7").code == 0
    return file


@pytest.mark.usefixtures("config")
def test_every_command_takes_an_identifier_from_standard_input(emr_sync: EmrSync, monkeypatch: pytest.MonkeyPatch) -> None:
    def typed(text: str, *arguments: str) -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        ended = emr_sync(*arguments)
        assert "standard input is empty" not in ended.err
        assert "no such patient" not in ended.err
        return ended.code

    assert typed("CLINIC|MRN1\n", "patient", "-", "--json") == 0
    assert typed("CLINIC|MRN1\n", "decide", "-", *ASK) == 0
    assert typed("MRN1\n", "audit", "--patient", "-", "--json") == 0
    assert typed("MRN1\n", "audit", "receipts", "-", "--json") == 0
    assert typed("MRN1\nCLINIC|MRN1\n", "check-identities", "-", "--json") == 0
    assert typed("please stop\n", "explain-reply", "-", "--json") == 0
    assert typed("MRN1\n", "unmerge", "-", "--reason", "asked", "--json") == 1  # the patient is known, but was never merged
    assert typed("MRN1\n", "resync", "adt", "--patient", "-", "--json") == 2  # a listener cannot be read


@pytest.mark.usefixtures("config")
def test_empty_standard_input_is_a_usage_error(emr_sync: EmrSync, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in (("patient", "-"), ("check-identities", "-")):
        monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
        ended = emr_sync(*command)
        assert ended.code == 2
        assert "standard input is empty; put the value on a line of its own" in ended.err
