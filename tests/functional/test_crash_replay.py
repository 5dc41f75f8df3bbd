"""The process dies at each point of a replay and of a key rotation, and restarts: nothing is lost, doubled or permitted by mistake."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from store.audit.verify import verify
from store.db.database import Database
from tests.functional.dying import DIED, die
from tests.functional.program import emr_sync, ended, free_port, hospital, written
from tests.functional.test_crash import message

NEVER = "NEVER"


def dies(config: Path, point: str, *arguments: str) -> None:
    """Runs a command in a program that dies at the point."""
    code, _, err = ended(config, *arguments, prepare=partial(die, point))
    assert code == DIED, err[-2000:]


def site(folder: Path, url: str, codes: dict[str, str], **more: Any) -> Path:
    configuration = hospital(url, free_port())
    configuration["payload_keys"] = {"current": "k1", "keys": {"k1": "4b" * 32}} | more
    configuration["sources"]["genhosp-adt"]["mapping"]["do_not_contact"]["values"] = codes
    return written(folder, configuration)


def dnc(config: Path) -> tuple[str, int]:
    found = emr_sync(config, "patient", "K7")
    return found["preferences"]["do_not_contact"]["value"], found["version"]


@pytest.fixture
def rejected(database_url: str, tmp_path: Path) -> Path:
    """A patient who may be contacted, and their later message with an unreadable code."""
    config = site(tmp_path, database_url, {"OK": "no"})
    for revision in (0, 1):
        file = tmp_path / f"{revision}.hl7"
        file.write_bytes(message(7, revision).replace(b"|DNC", b"|NEVER"))
        emr_sync(config, "ingest", "genhosp-adt", str(file))
    assert dnc(config) == ("no", 2)
    return config


@pytest.mark.crash
@pytest.mark.timeout(300)
@pytest.mark.parametrize("point", ["before it is resolved", "before it is committed", "after it is committed"])
def test_a_replay_is_atomic_through_crashes(rejected: Path, database_url: str, tmp_path: Path, point: str) -> None:
    config = site(tmp_path, database_url, {"OK": "no", NEVER: "yes"})
    (open_one,) = emr_sync(config, "rejections")
    dies(config, point, "rejections", "replay", open_one["id"])
    done = point == "after it is committed"
    assert dnc(config) == (("yes", 3) if done else ("no", 2))
    assert len(emr_sync(config, "rejections")) == (0 if done else 1)
    replays = [line["action"] for line in emr_sync(config, "audit")].count("replayed_rejection")
    assert replays == (1 if done else 0), "the audit log must have exactly the committed actions"
    emr_sync(config, "rejections", "replay", open_one["id"])
    assert dnc(config) == ("yes", 3)
    assert emr_sync(config, "rejections") == []
    database = Database.open(database_url)
    assert [one.broken_at for one in verify(database)] == [None]
    database.close()


@pytest.mark.crash
@pytest.mark.timeout(300)
@pytest.mark.parametrize("point", ["in the middle of the keys", "after the keys"])
def test_a_crash_during_key_rotation_loses_no_payload(rejected: Path, database_url: str, tmp_path: Path, point: str) -> None:
    keys = {"current": "k2", "keys": {"k1": "4b" * 32, "k2": "5c" * 32}}
    config = site(tmp_path, database_url, {"OK": "no"}, **keys)
    dies(config, point, "rejections", "reseal")
    (kept,) = emr_sync(config, "rejections")
    assert NEVER in emr_sync(config, "rejections", "show", kept["id"])["payload"]
    assert emr_sync(config, "rejections", "reseal")["resealed"] == (0 if point == "after the keys" else 1)
    config = site(tmp_path, database_url, {"OK": "no"}, current="k2", keys={"k2": "5c" * 32})
    assert NEVER in emr_sync(config, "rejections", "show", kept["id"])["payload"]
