"""``export suppressions`` and ``webhooks`` on the command line."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from store.db.database import Database
from store.domain.enterprise import Enterprise
from store.patients.preferences import Preferences
from store.patients.webhook_outbox import Outbox
from tests.factories import NOW
from tests.sync.conftest import EmrSync

NUMBER, LINE = "+12175550123", "+12175550190"
CONFIG = f"""
enterprises: {{clinic: {{default_region: US}}}}
webhooks:
  tool: {{enterprise: clinic, url: https://sender.example/hooks, secret: whsec_{base64.b64encode(b"s" * 32).decode()}}}
"""


@pytest.fixture
def store(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Preferences:
    file = tmp_path / "config.yaml"
    file.write_text(f"database: {database_url}{CONFIG}")
    monkeypatch.setenv("EMR_SYNC_CONFIG", str(file))
    return Preferences(Database.open(database_url), {"clinic": Enterprise("clinic")})


def test_a_list_is_written_and_the_export_is_in_the_audit_log(emr_sync: EmrSync, store: Preferences, tmp_path: Path) -> None:
    folder = tmp_path / "lists"
    folder.mkdir()
    store.record_reply("clinic", LINE, NUMBER, "STOP", NOW, NOW)
    written = emr_sync("export", "suppressions", folder, "--line", "(217) 555-0190", "--json").value
    assert (written["kind"], written["addresses"], written["added"], written["removed"]) == ("full", 1, 1, 0)
    assert (folder / written["files"][1]).read_text() == f"{NUMBER}\n"
    assert emr_sync("export", "suppressions", folder, "--line", LINE, "--delta", "--json").value["kind"] == "delta"
    assert "1 addresses" in emr_sync("export", "suppressions", folder, "--type", "broadcast").out
    entries = [one for one in emr_sync("audit", "--json").value if one["action"] == "exported_suppressions"]
    assert len(entries) == 3
    store.database.close()


@pytest.mark.parametrize(
    "arguments",
    [("--channel", "fax"), ("--channel", "voice", "--line", LINE), ("--line", "CLINIC"), ("--type", "newsletter"), ("--enterprise", "x")],
)
def test_a_list_that_cannot_be_meant_is_wrong_use(
    emr_sync: EmrSync, store: Preferences, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    assert emr_sync("export", "suppressions", tmp_path, *arguments).code == 2
    assert not list(tmp_path.glob("suppressions-*"))
    assert emr_sync("export", "suppressions", tmp_path / "none").code == 2
    store.database.close()


def test_endpoints_are_listed_and_a_disabled_one_is_enabled(emr_sync: EmrSync, store: Preferences) -> None:
    outbox = Outbox(store, "tool", "clinic")
    assert emr_sync("webhooks", "enable", "tool").code == 1, "nothing was sent to it yet"
    outbox.fill(NOW)
    outbox.disable("the endpoint answered 410", NOW)
    (found,) = emr_sync("webhooks", "--json").value
    assert (found["endpoint"], found["waiting"], found["reason"]) == ("tool", 0, "the endpoint answered 410")
    assert emr_sync("webhooks", "enable", "tool", "--json").value == {"endpoint": "tool", "waiting": 0}
    assert emr_sync("webhooks", "list", "--json").value[0]["disabled"] is None
    assert emr_sync("webhooks", "enable", "other").code == 2
    store.database.close()
