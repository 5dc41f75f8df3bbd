"""Checks every row of every decision table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from store.domain import reasons as why
from store.domain.channels import GOVERNS
from store.domain.decision import decide
from store.domain.policies import OFFERED, SETTINGS
from tests.spec.situation import NOW, Case, summary
from tests.spec.tables import TABLES

ROWS = [pytest.param(case, id=f"{table.title}: {case.situation}") for table in TABLES for case in table.cases]

RULES = (Path(__file__).parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
CASES = [case for table in TABLES for case in table.cases]
NOT_OF_DECISIONS = {"staff_may_record_opt_in", "search"}
"""Policies about what people may do. Their rules are tested with the API."""


@pytest.mark.parametrize("case", ROWS)
def test_decision_for_each_situation(case: Case) -> None:
    assert summary(decide(case.ask, case.known, case.policy, NOW)) == case.answer


def test_every_situation_is_described_once() -> None:
    for table in TABLES:
        situations = [case.situation for case in table.cases]
        assert len(situations) == len(set(situations))


def test_every_reason_code_has_a_row() -> None:
    """A code without a row is a rule that nobody has reviewed. Codes of input validation are tested with the API."""
    border = {why.PATIENT_AMBIGUOUS, why.ASK_INVALID}
    decisions = [decide(case.ask, case.known, case.policy, NOW) for case in CASES]
    shown = {reason for decision in decisions for reason in decision.reasons}
    assert shown == (set(why.REFUSALS) | set(why.SKIPS) | set(why.NOTES)) - border


@pytest.mark.parametrize("code", [*why.REFUSALS, *why.SKIPS, *why.NOTES, *why.CLIENT])
def test_the_rules_name_every_reason_code(code: str) -> None:
    assert f"`{code}`" in RULES.partition("## 7. ")[2].partition("## 8. ")[0]


@pytest.mark.parametrize("name", [one.name for one in OFFERED if one.name not in NOT_OF_DECISIONS])
def test_every_choice_of_a_policy_decides_a_row(name: str) -> None:
    """A choice without a row is a rule that nobody has reviewed, or one that no code reads."""
    for choice in SETTINGS[name].choices:
        rows = [case for case in CASES if getattr(case.policy, name) == choice.value]
        others = [{name: other.value} for other in SETTINGS[name].choices if other is not choice]
        assert any(_answer(case, **other) != case.answer for case in rows for other in others), f"{name}: {choice.text}"


def _answer(case: Case, **other: object) -> str:
    return summary(decide(case.ask, case.known, replace(case.policy, **other), NOW))


def test_every_message_type_has_rows() -> None:
    assert set(GOVERNS) == {"automation", "broadcast", "campaign", "manual"}
