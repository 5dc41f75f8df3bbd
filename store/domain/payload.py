"""One payload beside the assertions of its authority: what to apply, what to leave out, and the codes to keep. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from store import times
from store.domain import assertions, documents, local_dnc, ordering, source_codes, unreadable
from store.domain.contactability import may_permit_more, permitting_changes
from store.domain.effective import in_force
from store.domain.enterprise import Enterprise
from store.domain.source_codes import Readings
from store.domain.unreadable import Marks
from store.preference import RESTRICTED, STAFF, Assertion, PatientStatements, base, stops_contact

BEFORE_KEY = "."


def digest(item: PatientStatements) -> str:
    """A digest of all that a payload states, as it was read. Equal digests state the same."""
    unread = unreadable.unread(item) if item.problems else ()
    record = ordering.record_of(item.evidence_id)
    return documents.digest(item.identifiers, ordering.stated(item), item.version, unread, item.codes, item.mapping, item.later, record)


def kept_as(digest: str, item: PatientStatements) -> str:
    """The digest of a payload as it is kept: with the payload's repeat key, if it has one."""
    return f"{digest}{BEFORE_KEY}{item.repeat_key}" if item.repeat_key else digest


def digest_of(kept: str | None) -> str:
    """The digest alone; empty if nothing is kept."""
    return kept.partition(BEFORE_KEY)[0] if kept else ""


def repeat_key_of(kept: str) -> str:
    """The repeat key of the payload that last stated what is kept; empty if it had none."""
    return kept.partition(BEFORE_KEY)[2]


def as_received(item: PatientStatements, receipt: datetime, clock: datetime) -> PatientStatements:
    """A payload received at that time or before, when our clock showed ``clock``: its time does not reach beyond (``times.received``)."""
    stated = item.effective if item.received is not None else times.by_late_clock(item.effective, clock, receipt)
    effective = times.received(stated, min(receipt, item.received or receipt))
    return item if effective is item.effective else replace(item, effective=effective)


def of_restricted(asserted: assertions.SourceAssertions | None, item: PatientStatements) -> PatientStatements:
    """The payload, restricted if its authority's record still is: it takes nothing back (product rule 5.6)."""
    before, new = (asserted.assertions if asserted is not None else {}).get(RESTRICTED), item.statements.get(RESTRICTED)
    stays = before is not None and before.value is True and (new is None or new.value is not False)
    return replace(item, restricted=True) if stays and not item.restricted else item


def without(item: PatientStatements, back: Collection[str]) -> PatientStatements:
    """A payload without the attributes that the safeguard holds back."""
    statements = {name: one for name, one in item.statements.items() if name not in back}
    return replace(item, statements=statements, codes={name: one for name, one in item.codes.items() if name not in back})


def permitting(
    asserted: Mapping[str, assertions.SourceAssertions],
    authority: str,
    item: PatientStatements,
    merged: assertions.Merged,
    enterprise: Enterprise,
) -> dict[str, str]:
    """The attributes by which a payload would make its patient more contactable -> in which direction. ``merged``: if all of it counts."""
    names = [name for name, (_, after) in merged.changed.items() if may_permit_more(name, after)]
    if STAFF in asserted:
        names += local_dnc.may_yield_to(asserted, item)  # also if the source only repeats its own statement
    if not names:
        return {}
    attributes = {base(name) for name in names}  # attributes do not affect each other, so no other matters
    before = {name: _only(attributes, one.assertions) for name, one in asserted.items()}
    after = before | {authority: _only(attributes, merged.assertions)}
    if STAFF in asserted and local_dnc.lifts(asserted, item):
        after[STAFF] = local_dnc.without_merge_mark(asserted[STAFF]).assertions
    return permitting_changes(in_force(before, enterprise), in_force(after, enterprise), names)


def _only(attributes: set[str], among: Mapping[str, Assertion]) -> Mapping[str, Assertion]:
    return {name: one for name, one in among.items() if (base(name) if "#" in name else name) in attributes}


def outdated(item: PatientStatements, known: assertions.SourceAssertions) -> frozenset[str]:
    """The attributes of a payload of which newer evidence of its record is ``known``: an assertion, or codes beside its own ones."""
    current, codes = known.current(), codes_of(known)[1] or {}
    names = {*item.statements, *item.codes, *(base(one.attribute) for one in item.problems)} - {RESTRICTED}
    return frozenset(name for name in names if _is_outdated(item, current.get(name)) or source_codes.is_outdated(codes.get(name, ()), item))


def _is_outdated(item: PatientStatements, known: Assertion | None) -> bool:
    """Whether an assertion is newer. Of two FHIR resources each counts until it ends itself."""
    if known is None or ordering.refuser(known.evidence_id) != ordering.refuser(item.evidence_id):
        return False
    return ordering.is_newer(item, known) is False


def without_any(item: PatientStatements, names: Collection[str]) -> PatientStatements:
    """A payload without whatever it holds of some attributes, read or unreadable."""
    if not names:
        return item
    problems = tuple(one for one in item.problems if base(one.attribute) not in names)
    return replace(without(item, names), problems=problems)


def refusals(item: PatientStatements) -> PatientStatements:
    """A payload reduced to its refusals, and to the attributes that could refuse and were not readable."""
    refused = {name: one for name, one in item.statements.items() if stops_contact(name, one.value)}
    unread = tuple(one for one in item.problems if base(one.attribute) in unreadable.unread(item) and base(one.attribute) != RESTRICTED)
    return replace(item, statements=refused, problems=unread, restricted=False, codes={}, later=(), repeat_key="")


def was_read_otherwise(asserted: assertions.SourceAssertions, item: PatientStatements) -> bool:
    """Whether an assertion or mark by a payload that is known comes from another mapping than the one that read it now."""
    names = (name for name in (*item.statements, *unreadable.unread(item)) if name in asserted.assertions)
    known = [(one.evidence_id, one.mapping) for one in (asserted.assertions[name] for name in names)]
    known += [(one.evidence_id, one.mapping) for one in asserted.unreadable.values()]
    return any(evidence == item.evidence_id and mapping != item.mapping for evidence, mapping in known)


def repeated(
    asserted: Mapping[str, assertions.SourceAssertions], item: PatientStatements, merged: assertions.Merged
) -> dict[str, tuple[Any, Any]]:
    """Values stated again beside a refusal of staff that may end by that: they get a line in the history."""
    again = {name: merged.assertions[name] for name in local_dnc.may_yield_to(asserted, item) if name in merged.assertions}
    return {name: (one.value, one.value) for name, one in again.items() if not item.effective.is_before(one.effective)}


def is_of_another_mapping(asserted: assertions.SourceAssertions, item: PatientStatements) -> bool:
    """Whether a payload was read by another mapping than the codes of its authority."""
    return bool(item.mapping) and asserted.codes is not None and documents.read_codes(asserted.codes)[0] != item.mapping


def to_read_again(asserted: assertions.SourceAssertions, item: PatientStatements, now: datetime) -> assertions.SourceAssertions:
    """The assertions of an authority, with the codes of one more payload that is to be read again."""
    _, kept = codes_of(asserted)
    coded = replace(item, statements={name: one for name, one in item.statements.items() if name in item.codes})
    return replace(asserted, codes=documents.write_codes("", source_codes.after(kept or {}, coded, now, asserted, asserted.unreadable)))


def to_be_joined(asserted: assertions.SourceAssertions) -> assertions.SourceAssertions:
    """The assertions about a record before a merge, with its newest codes only."""
    by, kept = codes_of(asserted)
    return replace(asserted, codes=documents.write_codes(by, source_codes.joined(kept, {}))) if kept else asserted


def joined(survivor: assertions.SourceAssertions, merged: assertions.SourceAssertions) -> assertions.SourceAssertions:
    """The assertions of one authority about two merged records. If two mappings read their codes, they are read again next time."""
    sides = [(by, kept) for by, kept in (codes_of(survivor), codes_of(merged)) if kept is not None]
    by = "" if len({name for name, _ in sides}) > 1 else sides[0][0] if sides else ""
    kept = source_codes.joined(sides[0][1], sides[1][1]) if len(sides) > 1 else sides[0][1] if sides else None
    return replace(assertions.join(survivor, merged), codes=documents.write_codes(by, kept) if kept is not None else None)


def with_more(asserted: assertions.SourceAssertions, more: Mapping[str, Assertion], marks: Marks) -> assertions.SourceAssertions:
    """The assertions of an authority with further ones and marks that came without codes, so that no mapping removes them."""
    by, kept = codes_of(asserted)
    codes = documents.write_codes(by, source_codes.without_codes(kept, more, marks)) if kept is not None else None
    return replace(asserted, assertions={**asserted.current(), **more}, effective=asserted.confirmed, unreadable=marks, codes=codes)


def codes(asserted: assertions.SourceAssertions | None, item: PatientStatements, now: datetime, marks: Marks) -> str | None:
    """The codes of the authority with those of one more payload, as stored; ``None`` if there were never any."""
    by, kept = codes_of(asserted) if asserted is not None else ("", None)
    if kept is None and not item.codes and not ordering.record_of(item.evidence_id):
        return None
    new = source_codes.after(kept or {}, item, now, asserted, marks)
    return documents.write_codes(by if kept is not None else item.mapping, new) if new else None


def codes_of(asserted: assertions.SourceAssertions) -> tuple[str, Readings | None]:
    """The mapping that read the codes, and the codes if there are any, each at the last time it was stated."""
    if asserted.codes is None:
        return "", None
    by, kept = documents.read_codes(asserted.codes)
    return by, source_codes.current(kept, asserted)
