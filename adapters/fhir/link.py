"""Merged records: Patient.link in our words. Pure.

A record that was merged away is inactive and names its survivor (``replaced-by``); some servers mark the survivor instead
(``replaces``). Source: FHIR R4 8.1.5 (Patient.link), link types ``replaced-by | replaces | refer | seealso``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from adapters.base import SourceSettings
from adapters.fhir.identity import RESOURCE_ID, reference
from store.preference import (
    CONSENT,
    DENIED,
    DO_NOT_CONTACT,
    PREFERRED_METHOD,
    TOPIC,
    YES,
    Identifier,
    Method,
    PatientMerge,
    PatientStatements,
    Problem,
    Statement,
)

REPLACED_BY = ("replaced-by", "replace")  # the second is DSTU2's word for the first


def merges(
    resource: dict[str, Any], patient: PatientStatements, settings: SourceSettings, base_url: str, problems: list[Problem]
) -> Iterator[PatientMerge]:
    """The merges that the links state. A link to a record of another server cannot be followed and is a problem."""
    entries = resource.get("link")
    for index, entry in enumerate(entries if type(entries) is list else ()):
        kind = entry.get("type") if type(entry) is dict else None
        if kind not in REPLACED_BY and kind != "replaces":
            continue
        other = reference(entry.get("other"), settings, base_url)
        if other is None:
            problems.append(Problem("link_unresolvable", f"Patient.link[{index}].other", "it names no patient of this server"))
        elif other in patient.identifiers:
            problems.append(Problem("link_to_itself", f"Patient.link[{index}].other", "a record cannot replace itself"))
        elif kind == "replaces":
            yield _merge(patient, survivor=_by_record(patient), merged=(other,))
        elif resource.get("active") is False:
            yield _merge(patient, survivor=(other,), merged=_by_record(patient))
        else:
            problems.append(Problem("replaced_but_active", f"Patient.link[{index}]", "only an inactive record can be merged away"))


def _by_record(patient: PatientStatements) -> tuple[Identifier, ...]:
    """The resource id first: a link joins records, and both of them may carry the same medical record number by now."""
    return tuple(sorted(patient.identifiers, key=lambda one: one.type != RESOURCE_ID))


def _merge(patient: PatientStatements, *, survivor: tuple[Identifier, ...], merged: tuple[Identifier, ...]) -> PatientMerge:
    return PatientMerge(survivor, merged, patient.effective, patient.evidence_id, patient.locator)


def opt_outs(stated: dict[str, Statement]) -> dict[str, Statement]:
    """What a record that was merged away may still say: its refusals. Its phones and its ``active: false`` are not the survivor's."""
    return {attribute: statement for attribute, statement in stated.items() if is_opt_out(attribute, statement.value)}


def is_opt_out(attribute: str, value: Any) -> bool:
    if attribute.startswith((CONSENT, TOPIC)):
        return bool(value == DENIED)
    return (attribute, value) in ((DO_NOT_CONTACT, YES), (PREFERRED_METHOD, Method.NONE.value))
