from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from store.db.database import Database
from store.errors import RoleRefused, StoreError, TooManyTries, ValueRefused, VersionConflict
from store.users.credentials import Credentials
from store.users.sessions import Sessions
from store.users.throttle import PACE_BOTH
from store.users.users import User, Users
from tests.factories import NOW

CHOSEN = "tulip hammer river"
IDLE, LONGEST = timedelta(minutes=30), timedelta(hours=12)


@pytest.fixture
def users(database: Database) -> Users:
    return Users(database)


@pytest.fixture
def sessions(database: Database) -> Sessions:
    return Sessions(database, idle=IDLE, longest=LONGEST)


def check(users: Users, name: str, password: str, now: datetime) -> User | None:
    return Credentials(users.database, ["general", "local"]).check(name, password, now)


def added(users: Users, name: str = "pat", enterprise: str = "general", role: str = "staff") -> str:
    password = users.add(name, enterprise, role, NOW)[1]
    assert password
    return password


def test_a_user_gets_in_with_the_password_shown_once(users: Users) -> None:
    password = added(users)
    found = check(users, " pat ", password, NOW)
    assert found is not None
    assert (found.name, dict(found.roles)) == ("pat", {"general": "staff"})
    assert check(users, "pat", password + "x", NOW) is None
    assert check(users, "nobody", password, NOW) is None


def test_only_a_hash_of_the_password_is_kept(users: Users) -> None:
    password = added(users)
    with users.database.read() as connection:
        kept = users.database.select(connection, "SELECT password FROM users", [])[0][0]
    assert kept.startswith("$argon2id$")
    assert password not in kept


def test_a_user_whose_enterprises_are_not_served_here_does_not_get_in(users: Users) -> None:
    password = added(users, enterprise="elsewhere")
    assert check(users, "pat", password, NOW) is None


def test_a_second_enterprise_is_a_second_role_and_keeps_the_password(users: Users) -> None:
    password = added(users)
    user, again = users.add("pat", "local", "manager", NOW)
    assert (again, dict(user.roles)) == (None, {"general": "staff", "local": "manager"})
    assert check(users, "pat", password, NOW) is not None
    assert [one.name for one in users.list("local")] == ["pat"]
    assert users.list("elsewhere") == []


@pytest.mark.parametrize(("name", "role"), [("", "staff"), ("a\nb", "staff"), ("x" * 101, "staff"), ("pat", "sender"), ("pat", "boss")])
def test_a_bad_name_or_role_is_refused(users: Users, name: str, role: str) -> None:
    with pytest.raises(ValueRefused):
        users.add(name, "general", role, NOW)
    assert users.list() == []


def test_wrong_passwords_make_the_next_one_wait_even_the_right_one(users: Users) -> None:
    password, credentials = added(users), Credentials(users.database, ["general"])
    for _ in range(PACE_BOTH.free):
        assert credentials.check("pat", "wrong", NOW) is None
    with pytest.raises(TooManyTries, match="wait 1 second, then"):
        credentials.check("pat", password, NOW)
    assert credentials.check("pat", password, NOW + timedelta(seconds=1)) is not None


def test_strangers_elsewhere_do_not_keep_a_user_out(users: Users) -> None:
    password, credentials = added(users), Credentials(users.database, ["general"])
    for _ in range(PACE_BOTH.free):
        assert credentials.check("pat", "wrong", NOW, "192.0.2.1") is None
    assert credentials.check("pat", password, NOW, "192.0.2.2") is not None


def test_a_right_password_forgets_the_wrong_ones_before(users: Users) -> None:
    password, credentials = added(users), Credentials(users.database, ["general"])
    for _ in range(2):
        for _ in range(PACE_BOTH.free - 1):
            assert credentials.check("pat", "wrong", NOW) is None
        assert credentials.check("pat", password, NOW) is not None


def test_what_is_too_long_for_a_name_or_a_password_is_neither_counted_nor_checked(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    password, credentials = added(users), Credentials(users.database, ["general"])
    with monkeypatch.context() as patched:
        patched.setattr("store.users.passwords.matches", None)  # whoever calls it fails
        for _ in range(PACE_BOTH.free + 1):
            assert credentials.check("pat", "x" * 201, NOW) is None
            assert credentials.check("x" * 101, "wrong", NOW) is None
    assert credentials.check("pat", password, NOW) is not None


def test_a_disabled_user_does_not_get_in_nor_stay_in(users: Users, sessions: Sessions) -> None:
    password = added(users)
    secret = sessions.begin(users.find("pat"), "general", NOW)
    assert users.disable("pat", NOW).disabled == NOW
    assert users.disable("pat", NOW + IDLE).disabled == NOW
    assert check(users, "pat", password, NOW) is None
    assert sessions.visitor(secret, NOW) is None


def test_a_reset_gives_a_new_password_and_ends_sessions(users: Users, sessions: Sessions) -> None:
    old = added(users)
    secret = sessions.begin(users.find("pat"), "general", NOW)
    new = users.reset("pat", NOW)[1]
    assert new
    assert check(users, "pat", old, NOW) is None
    assert check(users, "pat", new, NOW) is not None
    assert sessions.visitor(secret, NOW) is None


def test_a_user_who_is_not_there_is_named_as_such(users: Users) -> None:
    with pytest.raises(StoreError, match="no such user"):
        users.disable("nobody", NOW)


def test_a_session_says_who_is_there_in_which_role(users: Users, sessions: Sessions) -> None:
    added(users)
    users.add("pat", "local", "manager", NOW)
    secret = sessions.begin(users.find("pat"), "general", NOW)
    visitor = sessions.visitor(secret, NOW)
    assert visitor is not None
    assert (visitor.name, visitor.enterprise, visitor.role, visitor.enterprises) == ("pat", "general", "staff", ("general", "local"))
    assert len(visitor.csrf) > 30
    sessions.move(secret, visitor, "local", NOW)
    moved = sessions.visitor(secret, NOW)
    assert moved is not None
    assert (moved.enterprise, moved.role) == ("local", "manager")
    with pytest.raises(RoleRefused):
        sessions.move(secret, visitor, "elsewhere", NOW)


@pytest.mark.parametrize(
    ("seen", "asked", "stays"),
    [
        ([], IDLE, True),
        ([], IDLE + timedelta(seconds=1), False),
        ([timedelta(minutes=20)], timedelta(minutes=45), True),
        ([timedelta(minutes=20 * n) for n in range(1, 37)], LONGEST + timedelta(seconds=1), False),
    ],
)
def test_a_session_ends_by_inactivity_and_after_its_longest_time(
    users: Users, sessions: Sessions, seen: list[timedelta], asked: timedelta, stays: bool
) -> None:
    added(users)
    secret = sessions.begin(users.find("pat"), "general", NOW)
    for moment in seen:
        assert sessions.visitor(secret, NOW + moment) is not None
    assert (sessions.visitor(secret, NOW + asked) is not None) is stays


def test_a_page_that_refreshes_itself_does_not_keep_a_session(users: Users, sessions: Sessions) -> None:
    added(users)
    secret = sessions.begin(users.find("pat"), "general", NOW)
    assert sessions.visitor(secret, NOW + timedelta(minutes=20), active=False) is not None
    assert sessions.visitor(secret, NOW + timedelta(minutes=40), active=False) is None


def test_signing_out_ends_the_session_and_the_next_sign_in_clears_old_ones(users: Users, sessions: Sessions) -> None:
    added(users)
    pat = users.find("pat")
    first, second = (sessions.begin(pat, "general", NOW) for _ in range(2))
    sessions.end(first, NOW)
    assert [sessions.visitor(secret, NOW) is not None for secret in (first, second)] == [False, True]
    sessions.begin(pat, "general", later := NOW + LONGEST + timedelta(hours=1))
    assert rows(sessions) == 1
    assert sessions.visitor(second, later) is None


def rows(sessions: Sessions) -> int:
    with sessions.database.read() as connection:
        return int(sessions.database.select(connection, "SELECT count(*) FROM user_sessions", [])[0][0])


def test_no_session_begins_where_the_user_has_no_role(users: Users, sessions: Sessions) -> None:
    added(users)
    with pytest.raises(RoleRefused):
        sessions.begin(users.find("pat"), "local", datetime.now(NOW.tzinfo))


def change(users: Users, current: str, new: str = CHOSEN, *, session: str = "none", name: str = "pat") -> None:
    Credentials(users.database, ["general", "local"]).change(name, current, new, session=session, now=NOW)


def test_somebody_chooses_a_password_and_every_other_session_of_theirs_ends(users: Users, sessions: Sessions) -> None:
    old = added(users)
    other = users.add("robin", "general", "staff", NOW)[0]
    here, there, robins = (sessions.begin(user, "general", NOW) for user in (users.find("pat"), users.find("pat"), other))
    change(users, old, session=here)
    assert [sessions.visitor(secret, NOW) is not None for secret in (here, there, robins)] == [True, False, True]
    assert check(users, "pat", old, NOW) is None
    assert check(users, "pat", CHOSEN, NOW) is not None


@pytest.mark.parametrize(("new", "said"), [("too short", "at least 15"), ("pat general hospital", "easy to guess"), ("old", "the same as")])
def test_a_new_password_that_may_not_be_chosen_changes_nothing(users: Users, new: str, said: str) -> None:
    old = added(users)
    with pytest.raises(ValueRefused, match=said):
        change(users, old, old if new == "old" else new)
    assert check(users, "pat", old, NOW) is not None


def test_guessing_the_current_password_has_to_wait_as_signing_in_does(users: Users) -> None:
    old, credentials = added(users), Credentials(users.database, ["general"])
    for _ in range(PACE_BOTH.free):
        with pytest.raises(ValueRefused, match="is wrong"):
            credentials.change("pat", "wrong", CHOSEN, session="none", now=NOW)
    for tried in (lambda: credentials.change("pat", old, CHOSEN, session="none", now=NOW), lambda: credentials.check("pat", old, NOW)):
        with pytest.raises(TooManyTries):
            tried()


def test_a_password_that_was_reset_meanwhile_is_not_overwritten(users: Users) -> None:
    old, credentials = added(users), Credentials(users.database, ["general"])
    checked = credentials._tried("pat", "", NOW).user
    assert checked is not None
    new = users.reset("pat", NOW)[1]
    with pytest.raises(VersionConflict):
        credentials._replace(checked, "hash", "none", NOW)
    assert check(users, "pat", new, NOW) is not None
    assert check(users, "pat", old, NOW) is None


def test_a_password_that_was_reset_while_it_was_checked_lets_nobody_in(users: Users) -> None:
    added(users)
    credentials = Credentials(users.database, ["general"])
    checked = credentials._tried("pat", "", NOW).user
    assert checked is not None
    users.reset("pat", NOW)
    assert credentials._is_current(checked) is False


def test_a_password_from_somebody_else_is_for_choosing_another_one(users: Users, sessions: Sessions) -> None:
    first = users.add("pat", "general", "staff", NOW, provisional=True)[1] or ""
    secret = sessions.begin(users.find("pat"), "general", NOW)
    assert provisional(sessions, secret) is True
    change(users, first, session=secret)
    assert provisional(sessions, secret) is False
    users.reset("pat", NOW)
    assert provisional(sessions, sessions.begin(users.find("pat"), "general", NOW)) is True


def provisional(sessions: Sessions, secret: str) -> bool:
    visitor = sessions.visitor(secret, NOW)
    assert visitor is not None
    return visitor.provisional
