"""Several Consents or Flags of one patient: each stands until it ends itself (product rules 5.1 and 5.8). Pure.

The end of one takes back what the same record stated, and nothing else; what the others state stands then. A refusal counts though
another record ended after it. A record that is read again by another mapping takes the place of its former reading, in both directions.
"""

from __future__ import annotations

from datetime import datetime

from store.domain import payload, source_codes
from store.domain.assertions import SourceAssertions
from store.domain.ordering import record_of, stated
from store.domain.source_codes import Readings
from store.preference import Assertion, PatientStatements, Statement


def decided(held: SourceAssertions | None, item: PatientStatements, now: datetime, joined: datetime | None) -> dict[str, Assertion]:
    """What stands of the attributes of a payload, where that is not a matter of which statement is newer (``merge.merge``)."""
    if held is None:
        return {}
    before, mine, said = held.current(), record_of(item.evidence_id), stated(item)
    if not any(name in before and (mine or record_of(before[name].evidence_id)) for name in said):
        return {}
    by, kept = payload.codes_of(held)
    was, now_read = kept or {}, source_codes.after(kept or {}, item, now, held, held.unreadable)
    found: dict[str, Assertion] = {}
    for name, statement in said.items():
        old = before.get(name)
        if old is None or not (mine or record_of(old.evidence_id)):
            continue
        if statement.value is None and (old.value is None or record_of(old.evidence_id) != mine):
            found[name] = old
        elif statement.value is None or old.value is None or _was_read_otherwise(name, was, item):
            stands = source_codes.standing(name, now_read.get(name, ()), joined, by or item.mapping)
            found[name] = _taken_back(statement, item, now) if stands is None else _still(old, stands)
    return found


def _was_read_otherwise(name: str, was: Readings, item: PatientStatements) -> bool:
    """Whether another mapping read the same version of the record before."""
    old = source_codes.of_record(was.get(name, ()), record_of(item.evidence_id)) if record_of(item.evidence_id) else None
    return old is not None and old.evidence_id == item.evidence_id and source_codes.read_by(old) != item.mapping


def _taken_back(statement: Statement, item: PatientStatements, now: datetime) -> Assertion:
    return Assertion(None, item.effective, now, item.evidence_id, statement.path, item.version, mapping=item.mapping)


def _still(old: Assertion, stands: Assertion) -> Assertion:
    """What stands, known by the evidence that first gave it where that is of the same record."""
    is_same = stands.value == old.value and record_of(stands.evidence_id) == record_of(old.evidence_id)
    return old._replace(mapping=stands.mapping) if is_same else stands
