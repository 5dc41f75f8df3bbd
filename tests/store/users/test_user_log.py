"""Who came in, who did not, and who was changed: each a line in the audit log, without the names that nobody here has."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from store.audit.audit_log import Audit
from store.audit.verify import verify
from store.db.database import Database
from store.errors import TooManyTries, ValueRefused
from store.users.credentials import Credentials
from store.users.refused_sign_ins import EVERY, Refusals
from store.users.sessions import Sessions
from store.users.throttle import PACE_BOTH
from store.users.users import Users
from tests.factories import NOW

IDLE, LONGEST = timedelta(minutes=30), timedelta(hours=12)
SERVED = ("general", "local")


@pytest.fixture
def users(database: Database) -> Users:
    return Users(database)


@pytest.fixture
def credentials(database: Database) -> Credentials:
    return Credentials(database, SERVED)


@pytest.fixture
def sessions(database: Database) -> Sessions:
    return Sessions(database, idle=IDLE, longest=LONGEST)


def log(database: Database, enterprise: str = "general") -> list[tuple[str, str, dict[str, Any]]]:
    """Who did what, with its detail; the oldest first."""
    lines = [link.line for link in reversed(Audit(database).newest(enterprise))]
    assert [one.broken_at for one in verify(database)] == [None] * len(verify(database))
    return [(line.actor, line.action, json.loads(line.detail)) for line in lines]


def added(users: Users, enterprise: str = "general", role: str = "staff") -> str:
    """Pat's password; the lines about it are not looked at."""
    return users.add("pat", enterprise, role, NOW, by="cli:root")[1] or ""


def test_what_is_done_to_a_user_is_in_the_log_of_each_enterprise_it_concerns(users: Users, database: Database) -> None:
    added(users)
    added(users, "local", "manager")
    users.disable("pat", NOW, by="cli:root")
    users.disable("pat", NOW, by="cli:root")
    users.reset("pat", NOW, by="cli:root")
    said = {"name": "pat", "role": "staff"}
    assert log(database) == [("cli:root", "changed_user", {"what": what, **said}) for what in ("added", "disabled", "reset")]
    assert [detail["role"] for _, _, detail in log(database, "local")] == ["manager"] * 3


def test_signing_in_and_out_is_in_the_log(users: Users, sessions: Sessions, database: Database) -> None:
    added(users)
    secret = sessions.begin(users.find("pat"), "general", NOW)
    sessions.end(secret, NOW)
    sessions.end(secret, NOW)
    assert [(actor, action) for actor, action, _ in log(database)[1:]] == [("staff:pat", "signed_in"), ("staff:pat", "signed_out")]
    assert log(database, "local") == []


def test_a_session_that_ran_out_is_in_the_log_once_with_its_end(users: Users, sessions: Sessions, database: Database) -> None:
    added(users)
    secret = sessions.begin(users.find("pat"), "general", NOW)
    for later in (IDLE * 2, IDLE * 3):
        assert sessions.visitor(secret, NOW + later) is None
    assert log(database)[-1] == ("staff:pat", "timed_out", {"over": (NOW + IDLE).isoformat()})
    assert [action for _, action, _ in log(database)].count("timed_out") == 1


def test_signing_out_of_a_session_that_is_over_is_no_sign_out(users: Users, sessions: Sessions, database: Database) -> None:
    added(users)
    sessions.end(sessions.begin(users.find("pat"), "general", NOW), NOW + IDLE * 2)
    assert log(database)[-1][1] == "timed_out"


def test_sessions_that_nobody_came_back_to_are_noted_at_the_next_sign_in(users: Users, sessions: Sessions, database: Database) -> None:
    added(users)
    sessions.begin(users.find("pat"), "general", NOW)
    sessions.begin(users.find("pat"), "general", NOW + LONGEST * 2)
    assert [action for _, action, _ in log(database)[1:]] == ["signed_in", "timed_out", "signed_in"]


def test_sessions_that_nobody_came_back_to_are_swept(users: Users, sessions: Sessions, database: Database) -> None:
    added(users)
    first, second = (sessions.begin(users.find("pat"), "general", NOW + moment) for moment in (timedelta(0), IDLE))
    assert sessions.sweep(NOW + IDLE) == 0
    assert sessions.sweep(NOW + IDLE * 3 / 2) == 1
    assert [sessions.visitor(secret, NOW + IDLE * 3 / 2) is not None for secret in (first, second)] == [False, True]
    assert sessions.sweep(NOW + LONGEST * 2) == 1
    assert [action for _, action, _ in log(database)].count("timed_out") == 2


def test_going_to_another_enterprise_is_a_line_there(users: Users, sessions: Sessions, database: Database) -> None:
    added(users)
    added(users, "local", "manager")
    secret = sessions.begin(users.find("pat"), "general", NOW)
    visitor = sessions.visitor(secret, NOW)
    assert visitor is not None
    sessions.move(secret, visitor, "local", NOW)
    assert log(database, "local")[-1] == ("manager:pat", "signed_in", {"came_from": "general"})


def test_each_wrong_password_of_a_user_is_in_the_log_and_what_had_to_wait_is_not(
    users: Users, credentials: Credentials, database: Database
) -> None:
    password = added(users)
    for _ in range(PACE_BOTH.free):
        credentials.check("pat", "wrong", NOW)
    with pytest.raises(TooManyTries):
        credentials.check("pat", password, NOW)
    wrong = ("stranger", "refused_sign_in", {"why": "wrong_password", "name": "pat"})
    assert log(database)[1:] == [wrong] * PACE_BOTH.free
    assert {link.line.subject for link in Audit(database).newest("general")} == {users.find("pat").id}
    assert log(database, "local") == []


def test_somebody_disabled_or_without_a_role_here_is_in_the_log(users: Users, credentials: Credentials, database: Database) -> None:
    password = added(users)
    users.disable("pat", NOW)
    assert credentials.check("pat", password, NOW) is None
    assert log(database)[-1][2]["why"] == "disabled"
    guest = users.add("guest", "elsewhere", "staff", NOW)[1] or ""
    assert credentials.check("guest", guest, NOW) is None
    assert log(database, "elsewhere")[-1][2] == {"why": "no_role", "name": "guest"}


def test_a_name_that_nobody_has_is_written_nowhere(users: Users, credentials: Credentials, database: Database) -> None:
    added(users)
    typed_into_the_wrong_field = "tulip-hammer-river"
    assert credentials.check(typed_into_the_wrong_field, "guess", NOW) is None
    for enterprise in SERVED:
        said = {"why": "unknown_name", "way": "password", "count": 1, "since": NOW.isoformat()}
        assert log(database, enterprise)[-1] == ("stranger", "refused_sign_in", said)
    with database.read() as connection:
        rows = database.select(connection, "SELECT actor, subject, detail FROM chain_links", [])
    assert typed_into_the_wrong_field not in str(rows)


def test_many_unknown_names_are_one_line_for_a_quarter_of_an_hour(credentials: Credentials, database: Database) -> None:
    for number in range(4):
        credentials.check(f"nobody{number}", "guess", NOW + timedelta(seconds=number))
    assert len(log(database)) == 1
    credentials.refusals.write_due(NOW + EVERY - timedelta(seconds=1))
    assert len(log(database)) == 1
    for _ in range(2):
        credentials.refusals.write_due(NOW + EVERY)
    since = (NOW + timedelta(seconds=1)).isoformat()
    assert [detail for _, _, detail in log(database)[1:]] == [{"why": "unknown_name", "way": "password", "count": 3, "since": since}]


def test_what_was_counted_and_could_not_be_written_is_counted_still(database: Database) -> None:
    refusals = Refusals(database, SERVED)
    refusals.log.note = None  # type: ignore[assignment, method-assign]
    with pytest.raises(TypeError):
        refusals.count("unknown_name", "password", NOW)
    del refusals.log.note
    refusals.count("unknown_name", "password", NOW)
    assert log(database)[0][2]["count"] == 2


def test_a_changed_password_and_a_refused_one_are_in_the_log(users: Users, credentials: Credentials, database: Database) -> None:
    old = added(users)
    added(users, "local", "manager")
    with pytest.raises(ValueRefused):
        credentials.change("pat", "wrong", "tulip hammer river", session="none", now=NOW)
    credentials.change("pat", old, "tulip hammer river", session="none", now=NOW)
    for enterprise, role in (("general", "staff"), ("local", "manager")):
        assert log(database, enterprise)[-2:] == [
            ("stranger", "refused_password", {"why": "wrong_password", "name": "pat"}),
            (f"{role}:pat", "changed_password", {"name": "pat", "sessions_ended": 0}),
        ]
