"""Several Consents or Flags of one patient: each counts until it ends itself (product rules 5.1 and 5.8). Pure.

The end of one takes back what the same record stated, and nothing else; the statements of the others then count. A refusal counts even if
another record ended after it. A record read again by another mapping replaces its former reading, in both directions.
"""

from __future__ import annotations

from datetime import datetime

from store.domain import payload, source_codes
from store.domain.assertions import SourceAssertions
from store.domain.ordering import record_of, stated
from store.domain.source_codes import Readings
from store.preference import Assertion, PatientStatements, Statement


def decided(asserted: SourceAssertions | None, item: PatientStatements, now: datetime, joined: datetime | None) -> dict[str, Assertion]:
    """The assertions of a payload's attributes that do not depend on which statement is newer (``assertions.merge``)."""
    if asserted is None:
        return {}
    before, record, statements = asserted.current(), record_of(item.evidence_id), stated(item)
    if not any(name in before and (record or record_of(before[name].evidence_id)) for name in statements):
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
