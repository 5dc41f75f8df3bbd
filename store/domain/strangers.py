"""Patients who are one here and would not be by today's rules of identity (product rule 5.9). Pure.

Until November 2026 any shared identifier joined patients, a placeholder too. What each of them stated was not kept apart, so only their own
identifiers can be told from each other, and what stops contact holds for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from store import times
from store.domain.assertions import SourceAssertions
from store.domain.identifiers import BEFORE, OWN, RECORD_ID, KnownIdentifier, Naming
from store.preference import EMR, Assertion, Identifier, refuses

MEDICAL_RECORD = "mr"

Namespace = tuple[str, str]
"""A folded authority and type."""
Part = tuple[KnownIdentifier, ...]


class Strangers(NamedTuple):
    """The patients that one record would be today, each with the own identifiers that are certainly its own; and why."""

    parts: tuple[Part, ...]
    why: str


class HistoryLine(NamedTuple):
    """What one payload changed: a line of the history."""

    at: datetime
    authority: str
    evidence_id: str
    effective: datetime
    changes: Mapping[str, Any]


def strangers(rows: Sequence[KnownIdentifier], sources: Sequence[Naming]) -> Strangers | None:
    """Whom the identifiers of one record belong to, where that is several today. ``rows`` came with that record, before any merge."""
    own: dict[Namespace, list[KnownIdentifier]] = {}
    for row in rows:
        if row.kind in (OWN, BEFORE) and _owners(row, sources):
            own.setdefault((row.authority.casefold(), row.type.casefold()), []).append(row)
    groups = _connected(own, sources)
    largest = [max((_values(one, sources) for one in group), key=len) for group in groups]
    if len(groups) > 1 and any(row.authority.casefold() in source.linking for row in rows for source in sources):
        largest = [max(largest, key=len)]  # a link joins the others, to whom is not known
        parts = largest[0]
    else:
        parts = tuple(part for values, group in zip(largest, groups, strict=True) for part in (values if values[1:] else (_all(group),)))
    return Strangers(parts, _why(largest, groups)) if len(parts) > 1 else None


def staying(held: Mapping[str, SourceAssertions], history: Iterable[HistoryLine]) -> dict[str, dict[str, Assertion]]:
    """What stops contact, by authority: now, or in the past by what an EMR stated of either; the newest of each attribute."""
    found: dict[str, dict[str, Assertion]] = {authority: {} for authority in held}
    for at, authority, evidence_id, effective, changes in history:
        for attribute, (_, after, path) in changes.items():
            if authority in held and authority.startswith(EMR) and refuses(attribute, after):
                found[authority][attribute] = Assertion(after, times.at(effective), at, evidence_id, path)
    for authority, one in held.items():
        found[authority] |= {name: said for name, said in one.current().items() if refuses(name, said.value)}
    return found


def _owners(row: KnownIdentifier, sources: Sequence[Naming]) -> frozenset[str]:
    """The sources that know their patients by such an identifier."""
    one = Identifier(row.authority, row.type, row.value)
    found = frozenset(source.source for source in sources if source.kind(one) == OWN)
    if found or not (row.kind == OWN or row.type.casefold() == MEDICAL_RECORD):
        return found
    return frozenset(source.source for source in sources if not source.own)  # they do not say by which identifier they know them


def _connected(own: Mapping[Namespace, list[KnownIdentifier]], sources: Sequence[Naming]) -> list[list[list[KnownIdentifier]]]:
    """Namespaces that one source owns together: it names one patient by one identifier of each."""
    groups: list[tuple[set[str], list[list[KnownIdentifier]]]] = []
    for _, rows in sorted(own.items()):
        owners = set(_owners(rows[0], sources))
        touching = [one for one in groups if one[0] & owners]
        groups = [one for one in groups if not one[0] & owners]
        groups.append((owners.union(*(one[0] for one in touching)), [*(each for one in touching for each in one[1]), rows]))
    return [group for _, group in groups]


def _values(rows: Sequence[KnownIdentifier], sources: Sequence[Naming]) -> tuple[Part, ...]:
    """The rows value by value; those of record ids together, where their source knows its patients by another identifier."""
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
    """Issuers and types only."""
    alike = [f"several of {_named(values[0][0])}" for values in several if len(values) > 1]
    return ", ".join(alike) or f"{' and '.join(_named(group[0][0]) for group in groups)} without a linking identifier"


def _named(row: KnownIdentifier) -> str:
    return f"{row.authority}/{row.type or 'no type'}"
