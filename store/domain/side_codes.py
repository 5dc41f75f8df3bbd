"""What today's mapping says of the codes of two records that are one person (product rules 5.7 and 5.8). Pure.

A merge keeps of each record only the newest of its codes beside the other's. Where today's mapping makes nothing of those, what it makes
of the older ones counts: the record's own side has them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from store import times
from store.domain import documents, unreadable
from store.domain.assertions import SourceAssertions, merge
from store.domain.contactability import more_restrictive
from store.domain.ordering import record_of
from store.preference import Assertion, PatientStatements, Problem, Statement, base, refuses


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


def refusals(held: SourceAssertions) -> dict[str, Assertion]:
    """What of it refuses."""
    return {name: said for name, said in held.current().items() if refuses(name, said.value)}


def refusing(now: SourceAssertions, kept: Mapping[str, Assertion]) -> SourceAssertions:
    """What is asserted by the codes, and the refusals that a merge kept; what is later than those stands.

    By time alone a permission of the other record may look newer than the merge though it came before it and says nothing of who refused:
    a refusal in ``kept`` is as new as any such.
    """
    kept_codes = documents.read_codes(now.codes)[1] if now.codes is not None else {}
    names = [name for name, ones in kept_codes.items() if not any(record_of(one.evidence_id) for one in ones)]
    assertions = now.current()
    for name in names:
        said, stands = kept.get(name), assertions.get(name)
        if said is None or (stands is not None and stands.effective.is_after(said.effective)):
            continue
        if stands is not None and refuses(name, stands.value) and not more_restrictive(name, said.value, stands.value):
            assertions[name] = stands._replace(effective=times.newest(stands.effective, said.effective))
        else:
            assertions[name] = said
    return replace(now, assertions=assertions, effective=now.confirmed)


def _told(
    now: SourceAssertions, side: SourceAssertions, names: Collection[str], unsaid: Collection[str], joined: datetime
) -> SourceAssertions:
    assertions = dict(now.assertions)
    for name, said in side.current().items():
        if name in unsaid or (name in names and refuses(name, said.value)):
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
