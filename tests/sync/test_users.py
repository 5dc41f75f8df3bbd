from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sync.conftest import Ended

EmrSync = Callable[..., Ended]
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
    assert "chooses another one with it. It is not shown again" in ended.err
    assert ended.out.strip() not in emr_sync("users", "list").out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["add", "pat", "--role", "staff"], 2, "several enterprises"),
        (["add", "pat", "--role", "sender", "--enterprise", "clinic"], 1, "role is one of"),
        (["disable", "nobody"], 1, "no such user"),
        (["reset", "nobody"], 1, "no such user"),
    ],
)
def test_wrong_use_is_one_line(emr_sync: EmrSync, arguments: list[str], code: int, said: str) -> None:
    ended = emr_sync("users", *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err
