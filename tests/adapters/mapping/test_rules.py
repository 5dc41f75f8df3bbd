"""Site rules convert a site's codes to statements. Unknown codes never permit contact."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.mapping import partial
from adapters.mapping.rules import FoundValue, MappingError, Rule, RuleRejection, compile_mapping
from store.preference import Codes, Problem, Statement

DETAIL = "do_not_contact: the code is not in any 'values' table of the mapping: add it, or set 'on_unknown'"


def compile_path(path: str) -> Any:
    if path == "broken":
        raise ValueError("a field name is missing")
    return lambda payload: [FoundValue(text, f"{path}[{index}]") for index, text in enumerate(payload)]


def rule(attribute: str = "do_not_contact", **changes: Any) -> Rule:
    written = {"from": "Z-1", "values": {"DNC": "yes", "OK": "no"}} | changes
    (compiled,) = compile_mapping({attribute: written}, compile_path)
    return compiled


@pytest.mark.parametrize(
    ("found", "value"),
    [
        (["DNC"], "yes"),
        (["OK"], "no"),
        (["dnc"], "yes"),
        ([None], None),
        (["OK", "DNC"], "yes"),
        (["OK", None], None),
        ([None, "OK"], None),
    ],
)
def test_codes_are_translated_and_the_most_restrictive_counts(found: list[str | None], value: str | None) -> None:
    statement = rule().apply(found)
    assert isinstance(statement, Statement)
    assert statement.value == value


def test_a_clear_overrides_a_grant_but_not_a_denial() -> None:
    consent = rule("consent.sms", values={"Y": "granted", "N": "denied", "?": "unknown"})
    assert consent.apply(["Y", "?"]) == Statement(None, "Z-1[1]")
    assert consent.apply(["?", "Y", "N"]) == Statement("denied", "Z-1[2]")


def test_the_first_of_several_languages_counts() -> None:
    assert rule("language", values={"E": "en", "S": "es"}).apply(["S", "E"]) == Statement("es", "Z-1[0]")


@pytest.mark.parametrize(
    ("on_absent", "outcome"),
    [
        ("no_statement", None),
        ("clear", Statement(None, "Z-1")),
        ("most_restrictive", Statement("yes", "Z-1")),
        ("reject", RuleRejection("value_absent", "Z-1", "do_not_contact")),
    ],
)
def test_the_meaning_of_an_absent_value_is_configured(on_absent: str, outcome: object) -> None:
    assert rule(on_absent=on_absent).apply([]) == outcome


@pytest.mark.parametrize(
    ("on_unknown", "outcome"),
    [
        ("no_statement", None),
        ("clear", Statement(None, "Z-1[0]")),
        ("most_restrictive", Statement("yes", "Z-1[0]")),
        ("reject", RuleRejection("code_unmapped", "Z-1[0]", "do_not_contact", "MAYBE")),
    ],
)
def test_the_meaning_of_an_unknown_code_is_configured(on_unknown: str, outcome: object) -> None:
    assert rule(on_unknown=on_unknown).apply(["MAYBE"]) == outcome


def test_by_default_absence_states_nothing_and_an_unknown_code_rejects() -> None:
    assert rule().apply([]) is None
    assert isinstance(rule().apply(["MAYBE"]), RuleRejection)


def test_an_unknown_code_rejects_even_if_another_is_known() -> None:
    assert isinstance(rule().apply(["OK", "MAYBE"]), RuleRejection)


def test_yaml_booleans_match_their_text() -> None:
    texting = rule("consent.sms", values={True: "granted", False: "denied"})
    assert texting.apply(["true"]) == Statement("granted", "Z-1[0]")
    assert texting.apply(["false"]) == Statement("denied", "Z-1[0]")
    assert rule(values={"DNC": True, "OK": False}).apply(["DNC"]) == Statement("yes", "Z-1[0]")


def test_without_a_table_only_the_values_themselves_match() -> None:
    assert rule("preferred_method", values=None).apply(["voice"]) == Statement("voice", "Z-1[0]")
    assert isinstance(rule("preferred_method", values=None).apply(["pigeon"]), RuleRejection)


def test_a_code_may_state_nothing() -> None:
    assert rule(values={"DNC": "yes", "-": "no_statement"}).apply(["-"]) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"from": ""}, "has no 'from'"),
        ({"from": "broken"}, "a field name is missing"),
        ({"values": {"X": "maybe"}}, "cannot be 'maybe'"),
        ({"on_unknown": "granted"}, "on_unknown is 'granted'"),
        ({"on_absent": "yes"}, "on_absent is 'yes'"),
    ],
)
def test_an_invalid_rule_names_the_error(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(MappingError, match=words):
        rule(**changes)


def applied(one: Rule, found: list[str | None]) -> tuple[Statement | None, list[Problem], dict[str, Codes]]:
    problems: list[Problem] = []
    codes: dict[str, Codes] = {}
    return partial.apply_rule(one, found, problems, codes), problems, codes


@pytest.mark.parametrize("found", [["DNC"], ["dnc"], [None], [], ["X"], ["DNC", "X"], ["OK", "X"]])
def test_a_rule_says_the_same_of_the_same_codes_every_time(found: list[str | None]) -> None:
    used = rule()
    assert [applied(used, found) for _ in range(3)] == [applied(rule(), found)] * 3


def test_an_unknown_code_is_a_problem_every_time() -> None:
    used = rule()
    assert [applied(used, ["X"])[1] for _ in range(2)] == [[Problem("code_unmapped", "Z-1[0]", DETAIL, "do_not_contact")]] * 2
    assert not used.settled, "a text that is in no table may be anything"


def test_a_code_is_read_at_the_place_where_it_stands() -> None:
    used = compile_mapping({"do_not_contact": {"from": "Z-1", "values": {"DNC": "yes"}}}, lambda _: lambda found: [FoundValue(*found)])[0]
    for path in ("Z-1[1]", "Z-1[2]", "Z-1[1]"):
        assert partial.apply_rule(used, ("DNC", path), [], {}) == Statement("yes", path)


def test_only_so_many_places_of_codes_are_remembered() -> None:
    used = compile_mapping({"do_not_contact": {"from": "Z-1", "values": {"DNC": "yes"}}}, lambda _: lambda found: [FoundValue(*found)])[0]
    for number in range(partial.MAX_SETTLED + 10):
        assert partial.apply_rule(used, ("DNC", f"Z-1[{number}]"), [], {}) == Statement("yes", f"Z-1[{number}]")
    assert len(used.settled) == partial.MAX_SETTLED
