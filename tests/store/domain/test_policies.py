"""The catalogue of policies: complete, and true to what the rules do."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from store.domain.decision import DecisionRequest, KnownPatient, decide
from store.domain.policies import OFFERED, POLICIES, SETTINGS, Policy, Setting, as_text
from tests.properties.test_decision import NOW, asks, known, policies

ROOT = Path(__file__).parents[3]
RULES = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
EXAMPLE = yaml.safe_load((ROOT / "config.example.yaml").read_text(encoding="utf-8"))["enterprises"]["general-hospital"]
PAIRS = [(one.name, *pair) for one in OFFERED for pair in combinations([choice.value for choice in one.choices], 2)]
PERMITS = {(one.name, choice.value): choice.permits for one in OFFERED for choice in one.choices}


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_a_default_is_one_of_the_choices_and_each_has_a_sentence(setting: Setting) -> None:
    assert setting.takes(setting.default)
    assert all(choice.effect.endswith(".") and choice.title for choice in setting.choices)


@pytest.mark.parametrize("setting", POLICIES, ids=lambda one: one.name)
def test_the_example_configuration_shows_every_policy_with_its_default(setting: Setting) -> None:
    written: dict[str, Any] = EXAMPLE["policy"] if setting.offered else EXAMPLE
    assert setting.name in written
    assert not setting.offered or written[setting.name] == setting.default


@pytest.mark.parametrize("setting", POLICIES, ids=lambda one: one.name)
def test_the_rules_list_every_policy_with_its_default(setting: Setting) -> None:
    name = f"policy.{setting.name}` *" if setting.offered else f"{setting.name}`"
    (row,) = [one for one in RULES.splitlines() if one.startswith("| `") and f"`{name}" in one.split("|")[1]]
    default = "not set" if setting.default is None else f"`{as_text(setting.default)}`"
    assert row.split("|")[2].strip() == default


@pytest.mark.parametrize(("value", "taken"), [(True, True), (False, True), (1, False), ("true", False), (None, False)])
def test_a_value_of_another_type_is_no_choice(value: object, taken: bool) -> None:
    assert SETTINGS["appointment_may_lift_dnc"].takes(value) is taken


@given(asks, known, policies, st.sampled_from(PAIRS))
def test_only_a_choice_that_permits_more_opens_a_way(
    ask: DecisionRequest, known: KnownPatient, policy: Policy, pair: tuple[str, Any, Any]
) -> None:
    name, *values = pair
    sent = {value: decide(ask, known, replace(policy, **{name: value}), NOW).decision == "send" for value in values}
    stricter, looser = sorted(values, key=lambda value: PERMITS[name, value])
    assert sent[looser] or not sent[stricter]
