"""A local Do Not Contact beside what an EMR says of the same patient, once two records became one. Pure.

Before a merge it yields to whatever an EMR has stated about its own record (``effective.in_force``). What an EMR had said of the *other*
record does not lift it (product rule 5.7): it is marked at the merge, and yields to what an EMR states about the patient since.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from store.domain import assertions, effective
from store.domain.assertions import BY_MERGE, SourceAssertions
from store.domain.enterprise import Enterprise
from store.domain.ordering import stated
from store.preference import DO_NOT_CONTACT, EMR, STAFF, YES, Assertion, PatientStatements, refuses

Records = Mapping[str, SourceAssertions]


def stands(held: Records, enterprise: Enterprise) -> bool:
    """Whether a local Do Not Contact is in force, or would be as soon as the enterprise syncs."""
    said = {authority: one.assertions for authority, one in held.items()}
    found = effective.in_force(said, replace(enterprise, syncs=True)).get(DO_NOT_CONTACT)
    return found is not None and (found.authority, found.value) == (STAFF, YES)


def is_kept(held: Records) -> bool:
    """Whether a merge keeps a local Do Not Contact in force."""
    said = _local(held)
    return said is not None and said.path == BY_MERGE


def may_yield_to(held: Records, item: PatientStatements) -> list[str]:
    """The attributes of a payload that staff refuses, and that may yield to it."""
    return [name for name in may_yield(held) if name in item.statements]


def may_yield(held: Records) -> list[str]:
    """What staff refuses, and an EMR's next payload may lift, also one that only repeats what it stated before.

    A local Do Not Contact, and whatever staff has of a retired source.
    """
    said = held[STAFF].assertions if STAFF in held else {}
    return [name for name, one in said.items() if refuses(name, one.value) and effective.yields(name, one)]


def has_not_yielded(held: Records) -> bool:
    """Whether there is a Do Not Contact of somebody here, later than or as late as all that any EMR has stated."""
    own = _local(held)
    if own is None or own.value != YES or own.path.startswith(assertions.INHERITED):
        return False
    stated = (one.current().get(DO_NOT_CONTACT) for authority, one in held.items() if authority.startswith(EMR))
    return not any(one is not None and one.value is not None and one.effective.is_after(own.effective) for one in stated)


def kept(staff: SourceAssertions) -> SourceAssertions:
    """Staff's word, marked: it stands until an EMR says something about the patient that is true since the merge."""
    return _with_path(staff, BY_MERGE)


def lifted(staff: SourceAssertions) -> SourceAssertions:
    """Staff's word without the mark."""
    return _with_path(staff, "")


def lifts(held: Records, item: PatientStatements) -> bool:
    """Whether an EMR's payload is the statement that a marked Do Not Contact yields to."""
    said = stated(item).get(DO_NOT_CONTACT)
    if said is None or said.value is None or not is_kept(held):
        return False
    return item.effective.is_after(held[STAFF].current()[DO_NOT_CONTACT].effective)


def _local(held: Records) -> Assertion | None:
    return held[STAFF].current().get(DO_NOT_CONTACT) if STAFF in held else None


def _with_path(staff: SourceAssertions, path: str) -> SourceAssertions:
    said = staff.current()
    return replace(staff, assertions={**said, DO_NOT_CONTACT: said[DO_NOT_CONTACT]._replace(path=path)}, effective=staff.confirmed)
