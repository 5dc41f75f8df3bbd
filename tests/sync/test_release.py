"""``release`` on the command line: preview, confirmation, release, undo; orphan sources are reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sync.clinic import CONFIG, KEYS, adt
from tests.sync.conftest import EmrSync

OTHER = CONFIG.replace("  adt:\n", "  other:\n")


@pytest.fixture
def config(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, emr_sync: EmrSync) -> Path:
    """A clinic with one patient, mastered by the source ``adt``."""
    file = tmp_path / "config.yaml"
    write(file, database_url, CONFIG)
    monkeypatch.setenv("EMR_SYNC_CONFIG", str(file))
    message = tmp_path / "a08.hl7"
    message.write_bytes(adt().encode())
    assert emr_sync("ingest", "adt", message).code == 0
    return file


def write(file: Path, url: str, text: str) -> None:
    file.write_text(f"database: {url}\n{KEYS}{text}")


def synced(emr_sync: EmrSync) -> list[str]:
    return [one["source"] for one in emr_sync("patient", "MRN1", "--json").value["synced"]]


def findings(emr_sync: EmrSync) -> list[str]:
    """The findings of check-config about the source ``adt``."""
    return [one["severity"] for one in emr_sync("check-config", "--json").value["mistakes"] if one["where"] == "sources.adt"]


def test_a_preview_for_scripts_changes_nothing(emr_sync: EmrSync, config: Path) -> None:
    found = emr_sync("release", "adt", "--json").value
    assert (found["release"], found["preview"]["patients"], found["preview"]["configured"]) == (None, 1, True)
    assert found["preview"]["attributes"]["do_not_contact"] == 1
    assert synced(emr_sync) == ["adt"]


def test_release_without_confirmation_changes_nothing(emr_sync: EmrSync, config: Path) -> None:
    assert emr_sync("release", "adt").code == 1
    assert synced(emr_sync) == ["adt"]


def test_a_source_is_released_and_restored(emr_sync: EmrSync, config: Path) -> None:
    done = emr_sync("release", "adt", "--yes", "--json").value
    assert (done["source"], done["patients"], done["undone"]) == ("adt", 1, False)
    assert synced(emr_sync) == []
    assert emr_sync("patient", "MRN1", "--json").value["preferences"]["do_not_contact"]["value"] == "yes"
    assert emr_sync("release", "--undo", "--json").value["undone"] is True
    assert synced(emr_sync) == ["adt"]
    assert emr_sync("release", "--undo").code == 1


def test_a_source_without_data_cannot_be_released(emr_sync: EmrSync, config: Path) -> None:
    ended = emr_sync("release", "nowhere", "--yes")
    assert (ended.code, "nothing to release" in ended.err) == (1, True)
    assert emr_sync("release").code == 2


def test_an_orphan_source_is_reported_until_it_is_released(emr_sync: EmrSync, config: Path, database_url: str) -> None:
    write(config, database_url, OTHER)
    assert findings(emr_sync) == ["warning"]
    assert "adt" in emr_sync("release").err
    assert emr_sync("release", "adt", "--yes").code == 0
    assert findings(emr_sync) == []


def test_a_configuration_is_checked_without_its_database(emr_sync: EmrSync, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    write(file, "sqlite:///nothing-yet.db", CONFIG)
    assert emr_sync("-c", file, "check-config").code == 0
    assert not (tmp_path / "nothing-yet.db").exists()
