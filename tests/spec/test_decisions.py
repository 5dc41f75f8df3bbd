"""Checks every row of every decision table."""

from __future__ import annotations

import pytest

from store.domain import reasons as why
from store.domain.channels import GOVERNS
from store.domain.decision import decide
from tests.spec.situation import NOW, Case, summary
from tests.spec.tables import TABLES

ROWS = [pytest.param(case, id=f"{table.title}: {case.situation}") for table in TABLES for case in table.cases]


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
    decisions = [decide(case.ask, case.known, case.policy, NOW) for table in TABLES for case in table.cases]
    shown = {reason for decision in decisions for reason in decision.reasons}
    assert shown == (set(why.REFUSALS) | set(why.SKIPS) | set(why.NOTES)) - border


def test_every_message_type_has_rows() -> None:
    assert set(GOVERNS) == {"automation", "broadcast", "campaign", "manual"}
