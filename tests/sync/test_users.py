from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from store.users.sessions import Sessions
from store.users.users import Users
from sync.config import load
from sync.housekeeping import chores
from sync.runtime import Runtime
from tests.sync.conftest import EmrSync

CONFIG = """\
database: sqlite:///users.db
enterprises:
  clinic: {display_name: Clinic}
  hospital: {display_name: Hospital}
"""


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG)
    monkeypatch.setenv("EMR_SYNC_CONFIG", str(file))


def test_a_user_is_added_listed_disabled_and_reset(emr_sync: EmrSync) -> None:
    added = emr_sync("users", "add", "pat", "--enterprise", "clinic", "--role", "staff", "--json").value
    assert (added["name"], added["roles"]) == ("pat", {"clinic": "staff"})
    assert len(added["password"]) > 20
    again = emr_sync("users", "add", "pat", "--enterprise", "hospital", "--role", "manager", "--json").value
    assert (again["roles"], again["password"]) == ({"clinic": "staff", "hospital": "manager"}, None)
    assert emr_sync("users", "disable", "pat", "--json").value["disabled"]
    reset = emr_sync("users", "reset", "pat", "--json").value
    assert reset["disabled"] is None
    assert reset["password"] != added["password"]
    listed = emr_sync("users", "--json").value
    assert [one["name"] for one in listed] == ["pat"]
    assert "password" not in listed[0]


def test_people_get_the_password_alone_on_stdout(emr_sync: EmrSync) -> None:
    ended = emr_sync("users", "add", "pat", "--enterprise", "clinic", "--role", "staff")
    assert (ended.code, len(ended.out.split())) == (0, 1)
    assert "It is not shown again; they choose a new one" in ended.err
    assert ended.out.strip() not in emr_sync("users", "list").out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["add", "pat", "--role", "staff"], 2, "several enterprises"),
        (["add", "pat", "--role", "sender", "--enterprise", "clinic"], 1, "role must be one of"),
        (["disable", "nobody"], 1, "no such user"),
        (["reset", "nobody"], 1, "no such user"),
    ],
)
def test_wrong_use_is_one_line(emr_sync: EmrSync, arguments: list[str], code: int, said: str) -> None:
    ended = emr_sync("users", *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err


def test_a_user_is_given_over_to_the_provider_and_back(emr_sync: EmrSync) -> None:
    emr_sync("users", "add", "pat", "--enterprise", "clinic", "--role", "staff")
    given = emr_sync("users", "reset", "pat", "--with", "openid", "--json").value
    assert (given["way"], given["password"]) == ("openid", None)
    assert "signs in with OpenID Connect" in emr_sync("users", "reset", "pat").out
    refused = emr_sync("users", "add", "pat", "--enterprise", "hospital", "--role", "staff")
    assert (refused.code, "roles come from openid.roles" in refused.err) == (1, True)
    back = emr_sync("users", "reset", "pat", "--with", "password", "--json").value
    assert (back["way"], len(back["password"]) > 20) == ("password", True)
    assert "openid" not in emr_sync("users", "list").out


def test_sessions_that_ran_out_are_ended_without_anybody_coming_by(tmp_path: Path) -> None:
    runtime = Runtime.open(load(tmp_path / "config.yaml"))
    try:
        yesterday = runtime.clock() - timedelta(days=1)
        user, _ = Users(runtime.database).add("pat", "clinic", "staff", yesterday)
        Sessions(runtime.database, idle=timedelta(minutes=30), longest=timedelta(hours=12)).begin(user, "clinic", yesterday)
        assert [chores(runtime)["sessions ended"]() for _ in range(2)] == [1, 0]
    finally:
        runtime.close()
