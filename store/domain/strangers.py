"""Patients who are one here but would be several by today's rules of identity (product rule 5.9). Pure.

Until November 2026 any shared identifier joined patients, even a placeholder. Their statements were not stored separately. So only their
own identifiers can be told apart, and what stops contact holds for each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from store import times
from store.domain.assertions import SourceAssertions
from store.domain.identifiers import LEGACY, OWN, RECORD_ID, KnownIdentifier, Naming
from store.preference import EMR, Assertion, Identifier, refuses

MEDICAL_RECORD = "mr"

Namespace = tuple[str, str]
"""A case-folded authority and type."""
Part = tuple[KnownIdentifier, ...]


class Strangers(NamedTuple):
    """The patients that one record would be today, each with the identifiers that are certainly its own; and why."""

    parts: tuple[Part, ...]
    why: str


class HistoryLine(NamedTuple):
    """A line of the history: what one payload changed."""

    at: datetime
    authority: str
    evidence_id: str
    effective: datetime
    changes: Mapping[str, Any]


def strangers(rows: Sequence[KnownIdentifier], sources: Sequence[Naming]) -> Strangers | None:
    """The patients whom the identifiers of one record belong to, if they are several. ``rows`` came with that record, before any merge."""
    own: dict[Namespace, list[KnownIdentifier]] = {}
    for row in rows:
        if row.kind in (OWN, LEGACY) and _owners(row, sources):
            own.setdefault((row.authority.casefold(), row.type.casefold()), []).append(row)
    groups = _connected(own, sources)
    largest = [max((_values(one, sources) for one in group), key=len) for group in groups]
    if len(groups) > 1 and any(row.authority.casefold() in source.linking for row in rows for source in sources):
        largest = [max(largest, key=len)]  # a link joins the others, and nobody can tell to which one
        parts = largest[0]
    else:
        parts = tuple(part for values, group in zip(largest, groups, strict=True) for part in (values if values[1:] else (_all(group),)))
    return Strangers(parts, _why(largest, groups)) if len(parts) > 1 else None


def refusals_to_keep(asserted: Mapping[str, SourceAssertions], history: Iterable[HistoryLine]) -> dict[str, dict[str, Assertion]]:
    """What stops contact, by authority: what it asserts now, or what an EMR stated in the past; the newest of each attribute."""
    found: dict[str, dict[str, Assertion]] = {authority: {} for authority in asserted}
    for at, authority, evidence_id, effective, changes in history:
        for attribute, (_, after, path) in changes.items():
            if authority in asserted and authority.startswith(EMR) and refuses(attribute, after):
                found[authority][attribute] = Assertion(after, times.at(effective), at, evidence_id, path)
    for authority, one in asserted.items():
        found[authority] |= {name: assertion for name, assertion in one.current().items() if refuses(name, assertion.value)}
    return found


def _owners(row: KnownIdentifier, sources: Sequence[Naming]) -> frozenset[str]:
    """The sources that know their patients by identifiers like this one."""
    one = Identifier(row.authority, row.type, row.value)
    found = frozenset(source.source for source in sources if source.kind(one) == OWN)
    if found or not (row.kind == OWN or row.type.casefold() == MEDICAL_RECORD):
        return found
    return frozenset(source.source for source in sources if not source.own)  # no patient_id is configured for them


def _connected(own: Mapping[Namespace, list[KnownIdentifier]], sources: Sequence[Naming]) -> list[list[list[KnownIdentifier]]]:
    """Groups of namespaces that one source owns: it has one identifier of each for one patient."""
    groups: list[tuple[set[str], list[list[KnownIdentifier]]]] = []
    for _, rows in sorted(own.items()):
        owners = set(_owners(rows[0], sources))
        overlapping = [one for one in groups if one[0] & owners]
        groups = [one for one in groups if not one[0] & owners]
        groups.append((owners.union(*(one[0] for one in overlapping)), [*(each for one in overlapping for each in one[1]), rows]))
    return [group for _, group in groups]


def _values(rows: Sequence[KnownIdentifier], sources: Sequence[Naming]) -> tuple[Part, ...]:
    """The rows by value. Record ids stay together if their source knows its patients by another identifier."""
    folded = rows[0].type.casefold(), rows[0].authority.casefold()
    if folded[0] == RECORD_ID and any(source.source == folded[1] and source.own for source in sources):
        return (tuple(rows),)
    by_value: dict[str, list[KnownIdentifier]] = {}
    for row in rows:
        by_value.setdefault(row.value, []).append(row)
    return tuple(tuple(found) for _, found in sorted(by_value.items()))


def _all(group: Sequence[Sequence[KnownIdentifier]]) -> Part:
    return tuple(row for rows in group for row in rows)


def _why(several: Sequence[Sequence[Part]], groups: Sequence[Sequence[Sequence[KnownIdentifier]]]) -> str:
    """The reason for people: issuers and types only."""
    alike = [f"several of {_named(values[0][0])}" for values in several if len(values) > 1]
    return ", ".join(alike) or f"{' and '.join(_named(group[0][0]) for group in groups)} without a linking identifier"


def _named(row: KnownIdentifier) -> str:
    return f"{row.authority}/{row.type or 'no type'}"
