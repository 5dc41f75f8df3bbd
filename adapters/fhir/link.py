"""Reads merges from Patient.link. Pure.

A merged record is inactive and names its survivor (``replaced-by``). Some servers set the link in the survivor instead
(``replaces``). Source: FHIR R4 8.1.5 (Patient.link), link types ``replaced-by | replaces | refer | seealso``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from adapters.fhir.identity import RESOURCE_ID
from adapters.fhir.modifiers import DETAIL, REASON, Understood, not_understood
from store.preference import Identifier, PatientMerge, PatientStatements, Problem, Statement, stops_contact

REPLACED_BY = ("replaced-by", "replace")  # the second is the DSTU2 code


def merges(
    resource: dict[str, Any],
    patient: PatientStatements,
    named: Callable[[Any], tuple[Identifier, ...]],
    understood: Understood,
    problems: list[Problem],
) -> Iterator[PatientMerge]:
    """The merges that the links state. ``named``: a Reference -> the patient's identifiers.

    A link to a record of another server cannot be resolved and becomes a problem.
    """
    entries = resource.get("link")
    for index, entry in enumerate(entries if type(entries) is list else ()):
        kind = entry.get("type") if type(entry) is dict else None
        if kind not in REPLACED_BY and kind != "replaces":
            continue
        if unread := not_understood(entry, f"Patient.link[{index}]", understood):
            problems.append(Problem(REASON, unread[0], DETAIL))
            continue
        other = next(iter(named(entry.get("other"))), None)
        if other is None:
            problems.append(Problem("link_unresolvable", f"Patient.link[{index}].other", "it does not refer to a patient on this server"))
        elif other in patient.identifiers:
            problems.append(Problem("link_to_itself", f"Patient.link[{index}].other", "a record cannot replace itself"))
        elif kind == "replaces":
            yield _merge(patient, survivor=_by_record(patient), merged=(other,))
        elif resource.get("active") is False:
            yield _merge(patient, survivor=(other,), merged=_by_record(patient))
        else:
            problems.append(Problem("replaced_but_active", f"Patient.link[{index}]", "only an inactive record can be merged away"))


def _by_record(patient: PatientStatements) -> tuple[Identifier, ...]:
    """The identifiers with the resource id first: both records of a link may have the same medical record number by now."""
    return tuple(sorted(patient.identifiers, key=lambda one: one.type != RESOURCE_ID))


def _merge(patient: PatientStatements, *, survivor: tuple[Identifier, ...], merged: tuple[Identifier, ...]) -> PatientMerge:
    return PatientMerge(survivor, merged, patient.effective, patient.evidence_id, patient.locator)


def opt_outs(stated: dict[str, Statement]) -> dict[str, Statement]:
    """The statements of a merged record that still count: its refusals, and that the patient died.

    Its phones and its ``active: false`` do not apply to the survivor.
    """
    return {name: one for name, one in stated.items() if stops_contact(name, one.value)}
