"""Minimal, invented values for tests."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from adapters.base import Payload
from store import times
from store.domain.enterprise import Enterprise, Source
from store.preference import Identifier, PatientMerge, PatientStatements, Phone, Problem, Statement
from store.runs.encryption import Sealing

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
CLINIC, FEED = "clinic", "clinic-emr"
AUTHORITY = "CLINIC"


def identifier(value: str = "MRN1", authority: str = AUTHORITY, type: str = "MR") -> Identifier:
    return Identifier(authority, type, value)


def phone(number: str = "+12175550101", kind: str = "cell", *, textable: bool = True, rank: int | None = None) -> Phone:
    return Phone(number, kind, number, rank, textable)


def at(minutes: int) -> times.Time:
    """The time that many minutes after the day before ``NOW``."""
    return times.at(NOW + timedelta(days=-1, minutes=minutes))


def statements(
    value: str = "MRN1",
    stated: Mapping[str, Any] | None = None,
    *,
    minutes: int = 0,
    evidence: str = "",
    problems: tuple[Problem, ...] = (),
) -> PatientStatements:
    """The statements of one payload about patient ``value``, effective ``minutes`` after the day before ``NOW``."""
    by_name = {name: Statement(one, f"X-{name}") for name, one in (stated or {"do_not_contact": "yes"}).items()}
    effective = at(minutes)
    return PatientStatements(
        (identifier(value),), by_name, effective, evidence or f"{value}/{minutes}", problems=problems, locator=f"test:{value}"
    )


def merge(survivor: str, merged: str, *, minutes: int = 0) -> PatientMerge:
    evidence = f"merge {survivor} {merged}"
    return PatientMerge((identifier(survivor),), (identifier(merged),), at(minutes), evidence, "test:merge")


def payload(text: str, locator: str = "test:1") -> Payload:
    return Payload(text.encode(), locator, NOW)


def sealing(current: str = "k1", *others: str) -> Sealing:
    """Encryption keys, the same in every test."""
    return Sealing(current, {name: name.encode().ljust(32, b".") for name in (current, *others)})


def clinic(*, syncs: bool = True, toggle: bool = False, sources: tuple[str, ...] = (FEED,)) -> Enterprise:
    return Enterprise(CLINIC, "Clinic", syncs, toggle, tuple(Source(name, f"{name} EMR") for name in sources))
