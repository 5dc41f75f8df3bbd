"""Reads the codes of two merged records by today's mapping (product rules 5.7 and 5.8). Pure.

A merge keeps only the newest codes of each record. If today's mapping makes nothing of those, the older ones count: the record's own side
still has them.
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


def with_sides(now: SourceAssertions, sides: Iterable[tuple[SourceAssertions, datetime]]) -> SourceAssertions:
    """The assertions about both, with those that each side makes by its own codes. None of these lifts a refusal from before the merge.

    ``sides``: each with the time of its merge. What was stated since that merge is about both and counts.
    """
    kept = documents.read_codes(now.codes)[1] if now.codes is not None else {}
    names = [name for name, ones in kept.items() if not any(record_of(one.evidence_id) for one in ones)]
    unstated = [name for name in names if name not in now.assertions]
    for side, joined in sides:
        now = _with_marks(_with_assertions(now, side, names, unstated, joined), side, names, joined)
    return now


def refusals(asserted: SourceAssertions) -> dict[str, Assertion]:
    """The refusals among the assertions of an authority."""
    return {name: one for name, one in asserted.current().items() if refuses(name, one.value)}


def refusing(now: SourceAssertions, kept: Mapping[str, Assertion]) -> SourceAssertions:
    """The assertions by the codes, with the refusals that a merge ``kept``, unless a later statement ended them.

    By its time alone, a permission of the other record may look newer than the merge although it came before and says nothing about the
    record that refused. A refusal in ``kept`` therefore has the time of the merge.
    """
    kept_codes = documents.read_codes(now.codes)[1] if now.codes is not None else {}
    names = [name for name, ones in kept_codes.items() if not any(record_of(one.evidence_id) for one in ones)]
    assertions = now.current()
    for name in names:
        refusal, current = kept.get(name), assertions.get(name)
        if refusal is None or (current is not None and current.effective.is_after(refusal.effective)):
            continue
        if current is not None and refuses(name, current.value) and not more_restrictive(name, refusal.value, current.value):
            assertions[name] = current._replace(effective=times.newest(current.effective, refusal.effective))
        else:
            assertions[name] = refusal
    return replace(now, assertions=assertions, effective=now.confirmed)


def _with_assertions(
    now: SourceAssertions, side: SourceAssertions, names: Collection[str], unstated: Collection[str], joined: datetime
) -> SourceAssertions:
    assertions = dict(now.assertions)
    for name, one in side.current().items():
        if name in unstated or (name in names and refuses(name, one.value)):
            item = PatientStatements(
                (), {name: Statement(one.value, one.path)}, one.effective, one.evidence_id, one.version, mapping=one.mapping
            )
            before = replace(now, assertions=assertions, effective=one.effective, confirmed=one.effective)
            assertions = dict(merge(before, item, one.recorded, joined=joined).assertions)
    return replace(now, assertions=assertions)


def _with_marks(now: SourceAssertions, side: SourceAssertions, names: Collection[str], joined: datetime) -> SourceAssertions:
    marks = now.unreadable
    for name, mark in side.unreadable.items():
        if name in {base(one) for one in names} and name not in marks:
            problem = Problem(mark.reason, mark.path, "", name)
            item = PatientStatements((), {}, mark.time, mark.evidence_id, problems=(problem,), mapping=mark.mapping)
            marks = unreadable.after(marks, now.assertions, item, whole=False, joined=joined)
    return replace(now, unreadable=marks)
