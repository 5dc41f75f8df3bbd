"""Forms in which EMRs keep preferences: by topic, as lists of allowed channels, with negative polarity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from adapters.mapping.allow_list import under
from adapters.mapping.rules import FoundValue, MappingError, Rule, RuleRejection, compile_mapping
from store.preference import Statement

MEDIA = {"Email": "email", "Text": "sms", "Phone": "voice", "Mail": "other", "Do not contact": "none"}


def compile_path(path: str) -> Any:
    return lambda payload: [FoundValue(text, f"{path}[{index}]") for index, text in enumerate(payload.get(path, ()))]


def compiled(attribute: str, **rule: Any) -> list[Rule]:
    return list(compile_mapping({attribute: rule}, compile_path))


def one(payload: Mapping[str, Any], attribute: str = "consent.sms", **rule: Any) -> Statement | RuleRejection | None:
    (made,) = compiled(attribute, **rule)
    return made.apply(payload)


def listed(codes: list[str | None] | None, **rule: Any) -> dict[str, Any]:
    """The statements of a list of approved media, by channel. Channels without a statement are missing."""
    rules = compiled("topic.appointments.*", **({"from": "media", "values": MEDIA} | rule))
    outcomes = {made.attribute.rpartition(".")[2]: made.apply({} if codes is None else {"media": codes}) for made in rules}
    return {channel: outcome.value if isinstance(outcome, Statement) else outcome for channel, outcome in outcomes.items() if outcome}


ANSWERS = {"Y": "granted", "N": "denied", "?": "unknown"}


@pytest.mark.parametrize(
    ("aggregate", "announcements", "billing", "value"),
    [
        (None, ["Y"], ["N"], "denied"),
        ("any_denied", ["Y"], ["N"], "denied"),
        ("any_denied", ["Y"], ["Y"], "granted"),
        ("all_denied", ["Y"], ["N"], None),
        ("all_denied", ["N"], ["N"], "denied"),
        ("all_denied", ["Y"], ["Y"], "granted"),
        ("first", ["Y"], ["N"], "granted"),
    ],
)
def test_topics_are_combined_into_one_consent_as_declared(
    aggregate: str | None, announcements: list[str], billing: list[str], value: str | None
) -> None:
    payload = {"announcements": announcements, "billing": billing}
    outcome = one(payload, **{"from": ["announcements", "billing"], "values": ANSWERS, "aggregate": aggregate})
    assert isinstance(outcome, Statement)
    assert outcome.value == value


def test_all_denied_needs_a_value_for_each_topic() -> None:
    rule = {"from": ["announcements", "billing"], "values": ANSWERS, "aggregate": "all_denied"}
    assert one({"announcements": ["N"]}, **rule) is None
    assert one({"announcements": ["N"]}, **rule, on_absent="most_restrictive") == Statement("denied", "announcements | billing")


def test_any_denied_uses_the_topics_that_are_present() -> None:
    assert one({"billing": ["N"]}, **{"from": ["announcements", "billing"], "values": ANSWERS}) == Statement("denied", "billing[0]")


def test_negative_polarity_denies_and_its_opposite_grants_nothing() -> None:
    rule = {"from": "disable_sms", "values": {True: "denied", False: "no_statement"}}
    assert one({"disable_sms": ["true"]}, **rule) == Statement("denied", "disable_sms[0]")
    assert one({"disable_sms": ["false"]}, **rule) is None


def test_a_list_grants_its_channels_and_states_nothing_about_others() -> None:
    assert listed(["Email", "Mail"]) == {"email": "granted"}


def test_a_list_denies_the_others_only_where_the_mapping_declares_it() -> None:
    assert listed(["Email", "Mail"], others="denied") == {"email": "granted", "sms": "denied", "voice": "denied"}
    assert listed(["Mail"], others="denied") == {"email": "denied", "sms": "denied", "voice": "denied"}


def test_a_list_may_clear_the_others() -> None:
    assert listed(["Email"], others="clear") == {"email": "granted", "sms": None, "voice": None}


def test_do_not_contact_in_a_list_denies_every_channel_whatever_else_it_names() -> None:
    assert listed(["Email", "Do not contact"]) == {"email": "denied", "sms": "denied", "voice": "denied"}


@pytest.mark.parametrize("others", ["no_statement", "clear", "denied"])
def test_an_absent_list_denies_nobody(others: str) -> None:
    assert listed(None, others=others) == {}


def test_a_deleted_list_clears_every_channel() -> None:
    assert listed([None], others="denied") == {"email": None, "sms": None, "voice": None}


@pytest.mark.parametrize(("on_unknown", "email"), [("no_statement", "granted"), ("clear", None), ("most_restrictive", "denied")])
def test_an_unknown_medium_beside_a_known_one_never_grants_more(on_unknown: str, email: str | None) -> None:
    assert listed(["Email", "Pigeon"], on_unknown=on_unknown)["email"] == email


def test_an_unknown_medium_rejects_by_default() -> None:
    assert isinstance(listed(["Email", "Pigeon"])["email"], RuleRejection)


def test_a_rule_for_one_channel_overrides_the_list() -> None:
    mapping = {"consent.sms": {"from": "texting", "values": ANSWERS}, "consent.*": {"from": "media", "values": MEDIA}}
    rules = {made.attribute: made for made in compile_mapping(mapping, compile_path)}
    assert set(rules) == {"consent.sms", "consent.voice", "consent.email"}
    assert rules["consent.sms"].apply({"media": ["Text"], "texting": ["N"]}) == Statement("denied", "texting[0]")


def test_a_list_of_the_site_overrides_each_channel_of_the_preset() -> None:
    preset = {"consent.sms": {"from": "a"}, "consent.sms#*": {"from": "b"}, "topic.billing.sms": {"from": "c"}}
    assert set(under(preset, {"consent.*": {}})) == {"consent.sms#*", "topic.billing.sms"}


@pytest.mark.parametrize(
    ("attribute", "rule", "words"),
    [
        ("preferred_method.*", {}, "cannot be a list of channels"),
        ("topic.*", {}, "cannot be a list of channels"),
        ("consent.*", {"values": None}, "needs 'values'"),
        ("consent.*", {"values": {"X": "granted"}}, "cannot mean 'granted'"),
        ("consent.*", {"others": "granted"}, "others is 'granted'"),
        ("consent.*", {"aggregate": "first"}, "has no aggregate"),
        ("consent.*", {"from": ""}, "has no 'from'"),
        ("consent.sms", {"aggregate": "some", "values": ANSWERS}, "aggregate is 'some'"),
        ("consent.sms", {"by": "first", "values": ANSWERS}, "by is 'first'"),
    ],
)
def test_an_invalid_rule_names_the_error(attribute: str, rule: dict[str, Any], words: str) -> None:
    with pytest.raises(MappingError, match=words) as error:
        compiled(attribute, **({"from": "media", "values": MEDIA} | rule))
    assert error.value.attribute == attribute
