"""A Do Not Contact set here (local), beside what an EMR states about the same patient, after two records were merged. Pure.

Before a merge it yields to whatever an EMR has stated about its own record (``effective.in_force``). What an EMR stated about the *other*
record does not lift it (product rule 5.7). So the merge marks it, and it then yields only to what an EMR states after the merge.
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


def is_in_force(asserted: Records, enterprise: Enterprise) -> bool:
    """Whether a local Do Not Contact is in force, or would be as soon as the enterprise syncs."""
    by_authority = {authority: one.assertions for authority, one in asserted.items()}
    found = effective.in_force(by_authority, replace(enterprise, syncs=True)).get(DO_NOT_CONTACT)
    return found is not None and (found.authority, found.value) == (STAFF, YES)


def is_kept(asserted: Records) -> bool:
    """Whether a merge keeps a local Do Not Contact in force."""
    local = _local(asserted)
    return local is not None and local.path == BY_MERGE


def may_yield_to(asserted: Records, item: PatientStatements) -> list[str]:
    """The attributes of a payload whose local refusal may yield to it."""
    return [name for name in may_yield(asserted) if name in item.statements]


def may_yield(asserted: Records) -> list[str]:
    """The attributes whose local refusal an EMR's next payload may lift, even one that only repeats what it stated before.

    They are a local Do Not Contact, and whatever staff inherited from a retired source.
    """
    assertions_here = asserted[STAFF].assertions if STAFF in asserted else {}
    return [name for name, one in assertions_here.items() if refuses(name, one.value) and effective.yields(name, one)]


def has_not_yielded(asserted: Records) -> bool:
    """Whether somebody here set Do Not Contact, and no EMR has stated a later one."""
    own = _local(asserted)
    if own is None or own.value != YES or own.path.startswith(assertions.INHERITED):
        return False
    stated = (one.current().get(DO_NOT_CONTACT) for authority, one in asserted.items() if authority.startswith(EMR))
    return not any(one is not None and one.value is not None and one.effective.is_after(own.effective) for one in stated)


def with_merge_mark(staff: SourceAssertions) -> SourceAssertions:
    """Staff's Do Not Contact with the mark of a merge: it stays in force until an EMR states one that is effective after the merge."""
    return _with_path(staff, BY_MERGE)


def without_merge_mark(staff: SourceAssertions) -> SourceAssertions:
    """Staff's Do Not Contact without that mark."""
    return _with_path(staff, "")


def lifts(asserted: Records, item: PatientStatements) -> bool:
    """Whether a marked Do Not Contact yields to an EMR's payload."""
    statement = stated(item).get(DO_NOT_CONTACT)
    if statement is None or statement.value is None or not is_kept(asserted):
        return False
    return item.effective.is_after(asserted[STAFF].current()[DO_NOT_CONTACT].effective)


def _local(asserted: Records) -> Assertion | None:
    return asserted[STAFF].current().get(DO_NOT_CONTACT) if STAFF in asserted else None


def _with_path(staff: SourceAssertions, path: str) -> SourceAssertions:
    current = staff.current()
    return replace(staff, assertions={**current, DO_NOT_CONTACT: current[DO_NOT_CONTACT]._replace(path=path)}, effective=staff.confirmed)
