"""Users whom a provider vouches for, on both databases; what the pages do with them is in web/pages/test_openid.py."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta

import pytest

from store.audit.audit_log import Audit
from store.db.database import Database
from store.users.credentials import Credentials
from store.users.federation import NAME_TAKEN, REMEMBERED, REPLAYED, Federation
from store.users.openid import ProviderIdentity
from store.users.sessions import Sessions
from store.users.users import DISABLED, NO_ROLE, Users
from tests.factories import NOW

ISSUER, SERVED = "https://login.example", ("general", "local")
STAFF: Mapping[str, str] = {"general": "staff"}


class Desk:
    """Where the provider's people come in, each sign-in a new one."""

    def __init__(self, database: Database) -> None:
        self.database, self.users, self.federation = database, Users(database), Federation(database, SERVED)
        self.sessions = Sessions(database, idle=timedelta(minutes=30), longest=timedelta(hours=12))
        self.number = 0

    def enter(self, name: str = "robin", subject: str = "r-1", roles: Mapping[str, str] = STAFF, issuer: str = ISSUER) -> str:
        """Who came in, or why nobody did."""
        self.number += 1
        entry = self.federation.admit(ProviderIdentity(issuer, subject, name, roles), f"sign-in {self.number}", NOW)
        assert (entry.user is None) is bool(entry.why)
        return entry.why or (entry.user.id if entry.user else "")

    def roles(self, name: str = "robin") -> dict[str, str]:
        return dict(self.users.find(name).roles)

    def log(self, enterprise: str = "general") -> list[tuple[str, dict[str, str]]]:
        """What the audit log says, the oldest line first."""
        lines = [link.line for link in reversed(Audit(self.database).newest(enterprise))]
        return [(line.action, json.loads(line.detail)) for line in lines]


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


def test_somebody_new_comes_in_as_a_user_without_a_password(desk: Desk) -> None:
    number = desk.enter()
    assert number.startswith("user_")
    assert desk.enter() == number
    assert (desk.users.find("robin").way, desk.roles()) == ("openid", {"general": "staff"})
    for password in ("", "anything"):
        assert Credentials(desk.database, SERVED).check("robin", password, NOW) is None
    assert desk.log()[0] == ("changed_user", {"what": "roles", "name": "robin", "role": "staff"})


def test_roles_follow_the_provider_and_sessions_end_where_there_is_none_any_more(desk: Desk) -> None:
    desk.enter(roles={"general": "staff", "local": "auditor"})
    here, there = (desk.sessions.begin(desk.users.find("robin"), where, NOW) for where in ("general", "local"))
    desk.enter(roles={"general": "manager"})
    assert desk.roles() == {"general": "manager"}
    visitor = desk.sessions.visitor(here, NOW)
    assert visitor is not None
    assert (visitor.role, visitor.by_openid, visitor.enterprises) == ("manager", True, ("general",))
    assert desk.sessions.visitor(there, NOW) is None
    assert desk.log("local")[-1] == ("changed_user", {"what": "roles", "name": "robin", "role": None})


def test_who_has_no_role_loses_what_they_had_and_is_not_created_either(desk: Desk) -> None:
    assert desk.enter(roles={}) == NO_ROLE
    assert desk.users.list() == []
    desk.enter()
    secret = desk.sessions.begin(desk.users.find("robin"), "general", NOW)
    assert desk.enter(roles={}) == NO_ROLE
    assert desk.roles() == {}
    assert desk.sessions.visitor(secret, NOW) is None
    refused = {"why": NO_ROLE, "way": "openid", "name": "robin"}
    assert desk.log()[-2:] == [
        ("refused_sign_in", refused),
        ("changed_user", {"what": "roles", "name": "robin", "role": None}),
    ]
    assert desk.enter(roles={}) == NO_ROLE
    assert desk.log("local")[-1] == ("refused_sign_in", {"why": NO_ROLE, "way": "openid"})


def test_a_name_is_never_taken_over(desk: Desk) -> None:
    desk.users.add("robin", "general", "enterprise", NOW)
    desk.enter("kim", "k-1")
    assert desk.enter("robin", "r-1") == NAME_TAKEN
    assert desk.enter("kim", "k-2") == NAME_TAKEN
    assert desk.enter("kim", "k-1", issuer="https://elsewhere.example") == NAME_TAKEN
    assert desk.enter("robin", "k-1") == NAME_TAKEN
    assert (desk.roles("robin"), desk.roles("kim")) == ({"general": "enterprise"}, {"general": "staff"})


def test_a_name_is_given_over_by_a_reset_to_whom_the_provider_gives_it_next(desk: Desk) -> None:
    number = desk.users.add("robin", "general", "enterprise", NOW)[0].id
    assert desk.users.reset("robin", NOW, way="openid")[1] is None
    assert desk.enter("robin", "r-9") == number
    assert desk.enter("robin", "r-1") == NAME_TAKEN
    assert desk.roles() == {"general": "staff"}


def test_a_user_of_the_provider_can_be_given_a_password_instead(desk: Desk) -> None:
    desk.enter()
    user, password = desk.users.reset("robin", NOW, way="password")
    assert (user.way, desk.enter()) == ("password", NAME_TAKEN)
    assert Credentials(desk.database, SERVED).check("robin", password or "", NOW) is not None


def test_a_disabled_user_stays_out_whatever_the_provider_says(desk: Desk) -> None:
    number = desk.enter()
    desk.users.disable("robin", NOW)
    assert desk.enter(roles={"general": "enterprise"}) == DISABLED
    assert desk.roles() == {"general": "staff"}
    assert desk.users.reset("robin", NOW)[1] is None
    assert desk.enter() == number


def test_roles_of_the_provider_s_people_are_not_given_here(desk: Desk) -> None:
    desk.enter()
    with pytest.raises(Exception, match=r"openid\.roles"):
        desk.users.add("robin", "general", "enterprise", NOW)
    assert desk.roles() == {"general": "staff"}


def test_a_sign_in_is_good_once_and_forgotten_after_a_day(desk: Desk) -> None:
    who = ProviderIdentity(ISSUER, "r-1", "robin", STAFF)
    assert desk.federation.admit(who, "same", NOW).user is not None
    for later in (timedelta(0), REMEMBERED):
        assert desk.federation.admit(who, "same", NOW + later).why == REPLAYED
    desk.federation.admit(who, "other", NOW + REMEMBERED * 2)
    with desk.database.read() as connection:
        rows = desk.database.select(connection, "SELECT digest FROM openid_sign_ins", [])
    assert [row[0] for row in rows] == ["other"]
