"""API keys: shown once, checked by digest, refused when malformed, unknown or revoked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from store.audit.audit_log import Audit
from store.db.database import Database
from store.domain.lock import Grant, Role
from store.errors import KeyExists, StoreError, ValueRefused
from store.users.api_keys import KEY_ROLES, ApiKeys
from tests.store.db.test_identity_migration import go
from tests.store.site import HOSPITAL, at


@pytest.fixture
def keys(database: Database) -> ApiKeys:
    return ApiKeys(database)


@pytest.mark.parametrize("role", KEY_ROLES)
def test_a_key_opens_its_enterprise_in_its_role(keys: ApiKeys, role: str) -> None:
    number, key = keys.create("reminders", HOSPITAL, role, at(0))
    found = keys.verify(key, at(3))
    assert found is not None
    assert (found.id, found.name, found.enterprise, found.role, found.created, found.revoked) == (
        number, "reminders", HOSPITAL, role, at(0), None,
    )  # fmt: skip


def test_the_key_itself_is_not_kept(keys: ApiKeys, database: Database) -> None:
    _, key = keys.create("reminders", HOSPITAL, Role.SENDER, at(0))
    secret = key.rsplit(".", 1)[1]
    with database.read() as connection:
        kept = [str(value) for row in connection.execute(text("SELECT * FROM api_keys")) for value in row]
    assert len(secret) >= 40
    assert not any(secret in value for value in kept)


def test_a_number_is_given_to_one_key_only(keys: ApiKeys) -> None:
    number, key = keys.create("reminders", HOSPITAL, Role.SENDER, at(0), number="key_1")
    with pytest.raises(KeyExists):
        keys.create("another", HOSPITAL, Role.SENDER, at(1), number="key_1")
    assert [(one.id, one.name) for one in keys.list()] == [("key_1", "reminders")]
    assert (number, keys.verify(key, at(2)) is not None) == ("key_1", True)


def test_forms_sent_at_the_same_time_create_one_key(keys: ApiKeys) -> None:
    def create(_: int) -> bool:
        try:
            keys.create("reminders", HOSPITAL, Role.SENDER, at(0), number="key_1")
        except KeyExists:
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(create, range(4))) == 1
    assert len(keys.list()) == 1


def test_a_key_is_never_used_before_it_was_created(keys: ApiKeys) -> None:
    created = datetime(2026, 11, 30, 3, 42, tzinfo=UTC)
    number, key = keys.create("reminders", HOSPITAL, Role.SENDER, created)
    for used, expected in ((57, created), (100, created.replace(hour=4, minute=0))):
        keys.note_use(number, created.replace(minute=0) + timedelta(minutes=used))
        found = keys.verify(key, created)
        assert found is not None
        assert (found.last_used, keys.list()[0].last_used) == (expected, expected)


@pytest.mark.parametrize("minutes", range(42, 400, 7))
def test_the_last_use_lies_within_the_hour_from_the_time_that_is_shown(keys: ApiKeys, minutes: int) -> None:
    created = datetime(2026, 11, 30, 3, 42, tzinfo=UTC)
    number, _ = keys.create("reminders", HOSPITAL, Role.SENDER, created)
    for used in (created + timedelta(minutes=one) for one in range(0, minutes, 13)):
        if not keys.list()[0].use_is_noted(used):
            keys.note_use(number, used)
    shown = keys.list()[0].last_used
    assert shown is not None
    assert timedelta() <= used - shown < timedelta(hours=1)


def test_a_revoked_key_opens_nothing_and_stays_in_the_list(keys: ApiKeys) -> None:
    number, key = keys.create("reminders", HOSPITAL, Role.SENDER, at(0))
    assert keys.revoke(number, at(1)).revoked == at(1)
    assert keys.revoke(number, at(2)).revoked == at(1)
    assert keys.verify(key, at(3)) is None
    assert [(one.id, one.revoked) for one in keys.list()] == [(number, at(1))]


def test_one_revoked_key_does_not_close_another(keys: ApiKeys) -> None:
    number, _ = keys.create("old", HOSPITAL, Role.SENDER, at(0))
    _, key = keys.create("new", HOSPITAL, Role.SENDER, at(1))
    keys.revoke(number, at(2))
    assert keys.verify(key, at(3)) is not None


CUT_SHORT = ["", ".", "..", "esk", "esk.", "{head}", "{head}.", "esk..{secret}"]
SPOILT = [*CUT_SHORT, "{key}x", "x{key}", "{head}.x", "esk.key_0.{secret}", "{head}.{secret}.", "ESK{tail}"]


@pytest.mark.parametrize("spoilt", SPOILT)
def test_a_key_that_is_not_exactly_one_of_ours_opens_nothing(keys: ApiKeys, spoilt: str) -> None:
    _, key = keys.create("reminders", HOSPITAL, Role.SENDER, at(0))
    head, secret = key.rsplit(".", 1)
    assert keys.verify(spoilt.format(key=key, head=head, secret=secret, tail=key[3:]), at(3)) is None


@pytest.mark.parametrize("odd", ["esk.\x00.x", "esk.a\x00b.x", "esk.é.ü", "esk.%.%", "esk." + "a" * 10_000 + ".x"])
def test_odd_text_is_a_key_of_nobody_and_breaks_nothing(keys: ApiKeys, odd: str) -> None:
    assert keys.verify(odd, at(3)) is None


def test_a_role_that_does_not_exist_is_refused(keys: ApiKeys) -> None:
    with pytest.raises(ValueRefused):
        keys.create("reminders", HOSPITAL, "root", at(0))
    assert keys.list() == []


def test_a_senders_key_may_more_only_by_grant_and_for_as_long_as_it_has_it(keys: ApiKeys) -> None:
    number, key = keys.create("reminders", HOSPITAL, Role.SENDER, at(0))
    _, granted = keys.create("desk", HOSPITAL, Role.SENDER, at(0), grants=[Grant.PATIENTS])

    def grants(token: str) -> frozenset[str]:
        found = keys.verify(token, at(9))
        assert found is not None
        return found.grants

    assert (grants(key), grants(granted)) == (set(), {"patients"})
    assert keys.grant(number, [Grant.PATIENTS], at(1)).grants == grants(key) == {"patients"}
    assert keys.grant(number, [], at(2)).grants == grants(key) == set()


def test_a_grant_is_in_the_log_once_with_who_gave_it(keys: ApiKeys) -> None:
    number, _ = keys.create("reminders", HOSPITAL, Role.SENDER, at(0))
    for _ in range(2):
        keys.grant(number, [Grant.PATIENTS], at(1), by="cli:kim")
    lines = [one.line for one in Audit(keys.database).newest(HOSPITAL) if one.line.action == "granted_key"]
    assert [(one.actor, one.subject, one.detail) for one in lines] == [("cli:kim", number, '{"name":"reminders","grants":"patients"}')]


@pytest.mark.parametrize(("role", "grants"), [("sender", ["everything"]), ("operator", ["patients"])])
def test_only_senders_keys_take_grants_and_only_those_that_exist(keys: ApiKeys, role: str, grants: list[str]) -> None:
    with pytest.raises(ValueRefused):
        keys.create("reminders", HOSPITAL, role, at(0), grants=grants)
    number, _ = keys.create("reminders", HOSPITAL, role, at(0))
    with pytest.raises(ValueRefused):
        keys.grant(number, grants, at(1))
    assert [one.grants for one in keys.list()] == [set()]


def test_keys_from_before_grants_have_none(keys: ApiKeys) -> None:
    _, key = keys.create("old", HOSPITAL, Role.SENDER, at(0), grants=[Grant.PATIENTS])
    go(keys.database, "downgrade", "0060")
    go(keys.database, "upgrade", "head")
    found = keys.verify(key, at(1))
    assert found is not None
    assert found.grants == set()


def test_keys_are_listed_by_enterprise_the_newest_first(keys: ApiKeys) -> None:
    made = [("a", "x"), ("b", "y"), ("c", "x")]
    names = [keys.create(name, enterprise, Role.SENDER, at(place))[0] for place, (name, enterprise) in enumerate(made)]
    assert [one.id for one in keys.list()] == names[::-1]
    assert [one.id for one in keys.list("x")] == [names[2], names[0]]


def test_a_key_that_does_not_exist_cannot_be_revoked(keys: ApiKeys) -> None:
    with pytest.raises(StoreError, match="no such key"):
        keys.revoke("key_0", at(0))


@pytest.mark.parametrize(("seconds", "opens"), [(99, True), (100, False), (101, False)])
def test_a_key_opens_nothing_from_its_expiry_on(keys: ApiKeys, seconds: int, opens: bool) -> None:
    _, key = keys.create("for a while", HOSPITAL, Role.SENDER, at(0), expires=at(100))
    assert (keys.verify(key, at(seconds)) is not None) is opens
