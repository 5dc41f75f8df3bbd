"""The page on adding a site, step by step: its configuration, its commands, and the output that it shows."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.locators import opaque
from sync.config import inspect, presets

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "adding-an-adapter.md").read_text()
MAPPING = (ROOT / "docs" / "mapping.md").read_text()
MESSAGES = ROOT / "tests" / "fixtures" / "sites" / "lakeside.hl7"


def flat(text: str) -> str:
    return " ".join(text.split())


def written() -> str:
    """The configuration of the page, including its deliberate error."""
    start = PAGE.index("    database:")
    return textwrap.dedent(PAGE[start : PAGE.index("**2.")])


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    (tmp_path / "drop").mkdir()
    shutil.copy(MESSAGES, tmp_path / "messages.hl7")
    (tmp_path / "config.yaml").write_text(written())
    return tmp_path


def fix_configuration(site: Path, *changes: tuple[str, str]) -> None:
    text = (site / "config.yaml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (site / "config.yaml").write_text(text)


def shown_on_the_page(out: str, *, without: tuple[str, ...] = ()) -> None:
    """Checks that every line of the output is on the page."""
    page = flat(PAGE)
    missing = [line for line in out.splitlines() if line.strip() and flat(line) not in page and not line.startswith(without or "\0")]
    assert missing == []


def test_a_new_site_is_added_as_documented(site: Path, emr_sync: Callable[..., object]) -> None:
    run = emr_sync
    first = run("check-config")
    assert first.code == 2
    shown_on_the_page(first.out)
    fix_configuration(site, ("other: denied", "others: denied"))
    shown_on_the_page(run("check-config").out)

    before = run("explain", "lakeside-adt", "messages.hl7").out
    assert "patient_id_missing" in before
    assert "FAX" in before
    shown_on_the_page("\n".join(line for line in before.splitlines() if "rejected" in line or "FAX" in line))
    fix_configuration(site, ("type: MRN", "type: MR"), ("LTR: other,", "LTR: other, FAX: other,"))
    after = run("explain", "lakeside-adt", "messages.hl7").out
    shown_on_the_page(after[: after.index(f"{opaque('messages.hl7')}#2")] + after[after.index("3 messages: ") :])
    assert "rejected" not in after

    dropped = site / "drop" / "messages.hl7"
    shutil.copy(site / "messages.hl7", dropped)
    os.utime(dropped, (dropped.stat().st_mtime - 60,) * 2)
    shown_on_the_page(run("check", "lakeside-adt").out)
    assert flat("dry run, nothing was changed: 3 applied") in flat(run("resync", "lakeside-adt", "--dry-run").out)
    assert dropped.exists(), "a dry run does not change the folder"
    shown_on_the_page(run("resync", "lakeside-adt").out)

    for patient in ("L-1001", "L-1002"):
        answer = run("decide", patient, "--type", "automation", "--channels", "sms,voice", "--topic", "appointments")
        shown_on_the_page(answer.out, without=("as of", "decision  dec_"))
    shown_on_the_page(run("ingest", "lakeside-adt", "drop/done/messages.hl7").out)


@pytest.mark.parametrize("name", presets.names())
def test_the_mappings_page_lists_every_preset_with_its_attributes(name: str) -> None:
    preset = presets.preset(name)
    row = next(line for line in MAPPING.splitlines() if line.startswith(f"| `{name}` |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1] == preset.title
    assert cells[3] == ", ".join(f"`{one}`" for one in preset.promises)


def test_the_rule_examples_on_the_mappings_page_load(tmp_path: Path) -> None:
    lines = [
        line.strip()
        for line in MAPPING.splitlines()
        if line.startswith("    ") and ": {" in line and "topic." not in line and "decide" not in line
    ]
    rules = [line.partition(" #")[0] for line in lines if "ZCP" not in line and "Patient." not in line and "by:" not in line]
    assert len(rules) == 2
    for rule in rules:
        file = tmp_path / "config.yaml"
        file.write_text(
            "database: sqlite:///x.db\nenterprises: {e: {}}\nsources:\n  s:\n    enterprise: e\n    adapter: rest.json\n"
            "    base_url: https://ehr.example\n    list: {path: p}\n    record: {id: id}\n"
            f"    mapping:\n      {rule}\n"
        )
        assert inspect(file).mistakes == ()
