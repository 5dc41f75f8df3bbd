"""Statements that count, or not, whichever is newer: those of several records of one patient, and codes that are read again. Pure.

Each of several Consents or Flags counts until it ends itself (product rules 5.1 and 5.8).

The end of one takes back what the same record stated, and nothing else; the statements of the others then count. A refusal counts even if
another record ended after it. A record read again by another mapping replaces its former reading, in both directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from store.domain import payload, source_codes
from store.domain.assertions import SourceAssertions
from store.domain.ordering import APART, record_of, stated
from store.domain.source_codes import Readings
from store.preference import Assertion, PatientStatements, Statement


def decided(asserted: SourceAssertions | None, item: PatientStatements, now: datetime, joined: datetime | None) -> dict[str, Assertion]:
    """The assertions of a payload's attributes that do not depend on which statement is newer (``assertions.merge``)."""
    return {} if asserted is None else _of_records(asserted, asserted.current(), item, now, joined)


def decided_as_received(
    asserted: SourceAssertions, before: Mapping[str, Assertion], item: PatientStatements, now: datetime, joined: datetime | None
) -> dict[str, Assertion]:
    """The same for a payload on its way to the safeguard, which holds what a present reading would permit. ``before``: what is current.

    Nothing else may read codes again: the safeguard does not see what a record itself keeps beside its patient, or what falls due.
    """
    return _of_records(asserted, before, item, now, joined) | _as_read_now(asserted, before, item, now, joined)


def _of_records(
    asserted: SourceAssertions, before: Mapping[str, Assertion], item: PatientStatements, now: datetime, joined: datetime | None
) -> dict[str, Assertion]:
    record, statements = record_of(item.evidence_id), stated(item)
    if not any(name in before and (record or before[name].evidence_id.startswith(APART)) for name in statements):
        return {}
    by, kept = payload.codes_of(asserted)
    former, readings = kept or {}, source_codes.after(kept or {}, item, now, asserted, asserted.unreadable)
    found: dict[str, Assertion] = {}
    for name, statement in statements.items():
        old = before.get(name)
        if old is None or not (record or record_of(old.evidence_id)):
            continue
        if statement.value is None and (old.value is None or record_of(old.evidence_id) != record):
            found[name] = old
        elif statement.value is None or old.value is None or _was_read_otherwise(name, former, item):
            current = source_codes.assertion_of(name, readings.get(name, ()), joined, by or item.mapping)
            found[name] = _cleared(statement, item, now) if current is None else _with_first_evidence(old, current)
    return found


def _as_read_now(
    asserted: SourceAssertions, before: Mapping[str, Assertion], item: PatientStatements, now: datetime, joined: datetime | None
) -> dict[str, Assertion]:
    """The assertions of a payload's attributes whose present reading waits for the safeguard: read from all codes, so that the payload is
    not compared with the former reading."""
    waiting = [name for name in stated(item) if name in before and before[name].mapping != item.mapping] if item.mapping else ()
    if not waiting or payload.is_of_another_mapping(asserted, item):
        return {}
    kept = payload.codes_of(asserted)[1]
    if kept is None:
        return {}
    codes = source_codes.after(kept, item, now, asserted, asserted.unreadable)
    by_codes = [name for name in waiting if name in kept and not record_of(item.evidence_id) and not record_of(before[name].evidence_id)]
    read = {name: source_codes.assertion_of(name, codes[name], joined, item.mapping) for name in by_codes}
    return {name: one or _cleared(item.statements[name], item, now) for name, one in read.items()}


def _was_read_otherwise(name: str, former: Readings, item: PatientStatements) -> bool:
    """Whether another mapping read the same version of the record before."""
    old = source_codes.of_record(former.get(name, ()), record_of(item.evidence_id)) if record_of(item.evidence_id) else None
    return old is not None and old.evidence_id == item.evidence_id and source_codes.read_by(old) != item.mapping


def _cleared(statement: Statement, item: PatientStatements, now: datetime) -> Assertion:
    return Assertion(None, item.effective, now, item.evidence_id, statement.path, item.version, mapping=item.mapping)


def _with_first_evidence(old: Assertion, current: Assertion) -> Assertion:
    """The current assertion, with the evidence that first stated it if that is of the same record."""
    is_same = current.value == old.value and record_of(current.evidence_id) == record_of(old.evidence_id)
    return old._replace(mapping=current.mapping) if is_same else current
