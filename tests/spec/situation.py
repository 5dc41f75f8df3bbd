"""The invented patient and the vocabulary of the spec tables. A decision is one line, the same in docs and tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from store.domain.contact import ContactPreferences
from store.domain.decision import Appointment, Decision, DecisionRequest, KnownPatient
from store.domain.policies import Policy
from store.domain.reasons import APPOINTMENT_NUMBER
from store.domain.sms_consent import OptOut
from store.preference import Phone

NOW = datetime(2026, 11, 2, 15, 0, tzinfo=UTC)
LINE, OTHER_LINE = "+12175550100", "+12175550199"
CELL, SECOND_CELL, HOME, WORK, NEW = "+12175550101", "+12175550102", "+12175550103", "+12175550104", "+12175550105"
ADDRESS = "pat@example.test"
NAMES = {CELL: "cell", SECOND_CELL: "second cell", HOME: "home", WORK: "work", NEW: "a number not on file", ADDRESS: "e-mail"}

CELL_PHONE = Phone(CELL, "cell", rank=1, textable=True)
SECOND_CELL_PHONE = Phone(SECOND_CELL, "cell", rank=2, textable=True)
HOME_PHONE = Phone(HOME, "home")
WORK_PHONE = Phone(WORK, "work")
EVERY_COPY = ("sms", "voice", "email")


class Case(NamedTuple):
    """One row: the situation as text and as values, and the decision."""

    situation: str
    ask: DecisionRequest
    known: KnownPatient | None
    answer: str
    policy: Policy = Policy()


class Table(NamedTuple):
    """A heading, a description, and the rows."""

    title: str
    about: str
    cases: Sequence[Case]


def ask(message_type: str = "automation", *channels: str, appointment: Appointment | None = None, **more: Any) -> DecisionRequest:
    """A request from LINE with copy for every channel, unless overridden."""
    return DecisionRequest(message_type=message_type, channels=channels or EVERY_COPY, appointment=appointment, **({"line": LINE} | more))


def patient(*opt_outs: OptOut, stale: bool = False, **preferences: Any) -> KnownPatient:
    """A patient with a cell phone, a home phone and an e-mail address. Nothing else is known, unless overridden."""
    basis = {"phones": (CELL_PHONE, HOME_PHONE), "emails": (ADDRESS,), "language": "en"}
    return KnownPatient("p1", 4, ContactPreferences(**(basis | preferences)), opt_outs, NOW, stale)


def summary(decision: Decision) -> str:
    """A decision in one line: ``voice to cell; sms: sms_opted_out``."""
    skipped = [f"{one.channel}: {one.reason}" for one in decision.skipped]
    if decision.decision == "send":
        notes = [reason for reason in decision.reasons if reason not in {one.reason for one in decision.skipped}]
        return "; ".join([f"{decision.channel} to {NAMES[decision.address or '']}", *skipped, *notes])
    notes = [reason for reason in decision.reasons if reason == APPOINTMENT_NUMBER]
    return "; ".join(["no", *(skipped or decision.reasons), *notes])
