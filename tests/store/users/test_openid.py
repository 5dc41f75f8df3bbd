"""Which claims give which role: pure."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.users.openid import OpenId, RoleRule, claimed, name_of, provider_identity, roles_of

RULES = (
    RoleRule("groups", "desk", "general", "staff"),
    RoleRule("groups", "chiefs", "general", "manager"),
    RoleRule("realm_access.roles", "engineers", "general", "operator"),
    RoleRule("https://clinic.example/roles", "auditors", "local", "auditor"),
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["desk", "chiefs"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["roles", "groups", "x"]), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("claims", "roles"),
    [
        ({"groups": "desk"}, {"general": "staff"}),
        ({"groups": ["chiefs", "desk"]}, {"general": "staff"}),
        ({"groups": ["chiefs"]}, {"general": "manager"}),
        ({"realm_access": {"roles": ["engineers"]}}, {"general": "operator"}),
        ({"realm_access.roles": ["engineers"]}, {"general": "operator"}),
        ({"https://clinic.example/roles": ["auditors"]}, {"local": "auditor"}),
        ({"groups": ["desk"], "https://clinic.example/roles": "auditors"}, {"general": "staff", "local": "auditor"}),
        ({"groups": ["DESK", " desk"]}, {}),
        ({"groups": {"desk": True}}, {}),
        ({"groups": True}, {}),
        ({}, {}),
    ],
)
def test_the_first_rule_that_fits_decides_in_each_enterprise(claims: dict[str, Any], roles: dict[str, str]) -> None:
    assert roles_of(claims, RULES) == roles


@given(st.dictionaries(st.sampled_from(["groups", "realm_access", "roles", "sub"]), ANYTHING))
def test_no_role_comes_from_anything_but_the_text_that_a_rule_names(claims: dict[str, Any]) -> None:
    for enterprise, role in roles_of(claims, RULES).items():
        assert any(rule.enterprise == enterprise and rule.role == role and rule.value in claimed(claims, rule.claim) for rule in RULES)
    assert all(isinstance(text, str) for rule in RULES for text in claimed(claims, rule.claim))


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"upn": " robin "}, "robin"),
        ({"upn": ["robin"]}, "robin"),
        ({"upn": ["robin", "kim"]}, ""),
        ({"upn": ""}, ""),
        ({"upn": "a\nb"}, ""),
        ({"upn": "x" * 101}, ""),
        ({"upn": 7}, ""),
        ({}, ""),
    ],
)
def test_a_name_is_one_printable_text(claims: dict[str, Any], name: str) -> None:
    assert name_of(claims, "upn") == name


def test_who_is_vouched_for_is_known_by_the_provider_s_subject() -> None:
    settings = OpenId("https://login.example", "emr-sync", "https://here.example", RULES)
    found = provider_identity({"iss": settings.issuer, "sub": "r-1", "preferred_username": "robin", "groups": "desk"}, settings)
    assert found == ("https://login.example", "r-1", "robin", {"general": "staff"})
