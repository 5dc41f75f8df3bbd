"""What today's mapping says of the codes of two records that are one person (product rules 5.7 and 5.8). Pure.

A merge keeps of each record only the newest of its codes beside the other's. Where today's mapping makes nothing of those, what it makes
of the older ones counts: the record's own side has them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime

from store.domain import documents, unreadable
from store.domain.assertions import SourceAssertions, merge
from store.domain.ordering import forbids, record_of
from store.preference import PatientStatements, Problem, Statement, base


def with_sides(now: SourceAssertions, sides: Iterable[SourceAssertions], joined: datetime) -> SourceAssertions:
    """What is asserted of both, with what each side says by its own codes; none of that lifts a refusal from before they were one.

    What was stated since is about both, and stands.
    """
    kept = documents.read_codes(now.codes)[1] if now.codes is not None else {}
    names = [name for name, ones in kept.items() if not any(record_of(one.evidence_id) for one in ones)]
    unsaid = [name for name in names if name not in now.assertions]
    for side in sides:
        now = _marked(_told(now, side, names, unsaid, joined), side, names, joined)
    return now


def _told(
    now: SourceAssertions, side: SourceAssertions, names: Collection[str], unsaid: Collection[str], joined: datetime
) -> SourceAssertions:
    assertions = dict(now.assertions)
    for name, said in side.current().items():
        if name in unsaid or (name in names and forbids(name, said.value)):
            item = PatientStatements(
                (), {name: Statement(said.value, said.path)}, said.effective, said.evidence_id, said.version, mapping=said.mapping
            )
            then = replace(now, assertions=assertions, effective=said.effective, confirmed=said.effective)
            assertions = dict(merge(then, item, said.recorded, joined=joined).assertions)
    return replace(now, assertions=assertions)


def _marked(now: SourceAssertions, side: SourceAssertions, names: Collection[str], joined: datetime) -> SourceAssertions:
    marks = now.unreadable
    for name, mark in side.unreadable.items():
        if name in {base(one) for one in names} and name not in marks:
            problem = Problem(mark.reason, mark.path, "", name)
            item = PatientStatements((), {}, mark.time, mark.evidence_id, problems=(problem,), mapping=mark.mapping)
            marks = unreadable.after(marks, now.assertions, item, whole=False, joined=joined)
    return replace(now, unreadable=marks)
