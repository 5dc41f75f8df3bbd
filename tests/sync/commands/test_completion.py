"""Completion in a shell: the program is asked what fits, as the script of ``--show-completion`` asks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync.commands import cli
from tests.sync.clinic import CONFIG

ADT_AND_EHR = f"database: sqlite:///x.db\n{CONFIG}  ehr: {{enterprise: clinic}}\n"


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("emr-sync che", ["check-config", "check", "check-database", "check-identities"]),
        ("emr-sync resync --dr", ["--dry-run"]),
        ("emr-sync keys ", ["create", "list", "grant", "revoke"]),
        ("emr-sync keys re", ["revoke"]),
        ("emr-sync decide MRN1 --type b", ["broadcast"]),
        ("emr-sync explain ", ["adt", "ehr"]),
        ("emr-sync resync e", ["ehr"]),
    ],
)
def test_commands_options_values_and_sources_are_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str, completed: list[str]
) -> None:
    (tmp_path / "config.yaml").write_text(ADT_AND_EHR)
    monkeypatch.chdir(tmp_path)
    assert asked(monkeypatch, capsys, words) == completed


def test_without_a_configuration_no_source_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert asked(monkeypatch, capsys, "emr-sync explain ") == []
    (tmp_path / "config.yaml").write_text("sources: [\n")
    assert asked(monkeypatch, capsys, "emr-sync explain ") == []


def asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str) -> list[str]:
    monkeypatch.setenv("_EMR_SYNC_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    with pytest.raises(SystemExit):
        cli.run([])
    return capsys.readouterr().out.split()
