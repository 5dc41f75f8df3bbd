"""Unclear replies on the command line, and the classification of a reply."""

from __future__ import annotations

from pathlib import Path

import pytest

from store.db.database import Database
from store.domain.enterprise import Enterprise
from store.patients.preferences import Preferences
from store.runs.encryption import Sealing
from tests.sync.test_audit import NOW, EmrSync, config

__all__ = ["config"]
SEALING = Sealing("k1", {"k1": bytes.fromhex("4b" * 32)})


@pytest.mark.parametrize(
    ("text", "outcome"),
    [("Stop please", "opt_out"), ("ALTO", "opt_out"), ("stop by", "review"), ("Stpo", "review"), ("see you", "none"), ("start", "opt_in")],
)
def test_classification_of_a_reply(emr_sync: EmrSync, config: Path, text: str, outcome: str) -> None:
    assert emr_sync("explain-reply", text, "--json").value["outcome"] == outcome
    assert outcome in emr_sync("explain-reply", text).out


@pytest.mark.shows_values
def test_replies_are_listed_and_decided(emr_sync: EmrSync, config: Path, database_url: str) -> None:
    database = Database.open(database_url)
    store = Preferences(database, {"clinic": Enterprise("clinic")}, sealing=SEALING)
    for minute, body in enumerate(("please cancel my order", "stop by at noon")):
        store.record_reply("clinic", "+12175550190", "+12175550123", body, None, NOW.replace(minute=minute))
    database.close()
    newest, oldest = emr_sync("replies", "--json").value
    assert (newest["state"], newest["body"]) == ("review", "stop by at noon")
    assert "+12175550123" in emr_sync("replies").out
    assert emr_sync("replies", "dismiss", newest["id"], "--json").value["state"] == "dismissed"
    assert emr_sync("replies", "opt-out", oldest["id"], "--reason", "asked", "--json").value["reason"] == "asked"
    assert emr_sync("replies", "opt-out", oldest["id"]).code == 1
    assert emr_sync("replies", "--json").value == []
    assert [one["authority"] for one in emr_sync("opt-outs", "--json").value] == ["patient"]
    assert emr_sync("replies", "list", "--state", "all").code == 2


@pytest.mark.parametrize("line", ["abc", "+1217555019"])
def test_an_invalid_line_is_a_usage_error(emr_sync: EmrSync, config: Path, line: str) -> None:
    assert emr_sync("decide", "MRN1", "--type", "automation", "--channels", "sms", "--line", line).code == 2
    assert emr_sync("opt-outs", "--line", line).code == 2
