"""Which of two statements of one authority about one attribute counts (product rule 5.1). Pure.

The one whose time is entirely later counts. Where times overlap, a refusal wins over a permission; of anything else the later receipt wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from store import times
from store.domain.contactability import is_refusable, more_restrictive
from store.preference import RESTRICTED, Assertion, PatientStatements, Statement, refuses
from store.times import Time

APART = ("Consent/", "Flag/")
"""FHIR resources of which a patient has several at once. The end of one says nothing about another."""

PATIENT = "Patient/"
RECORDS = (*APART, PATIENT)
VERSION = "/_history/"
"""Separates the version in the evidence id of a FHIR resource."""


class Order(NamedTuple):
    """How a payload relates to the evidence of an assertion of its authority, whatever the attribute.

    ``newest``: the later of their times. ``records`` and ``resources``: whether they are of two records, of two resources.
    """

    newer: bool | None
    newest: Time
    records: bool
    resources: bool


def order(item: PatientStatements, old: Assertion) -> Order:
    """The order of a payload and an assertion."""
    resources = of_two_resources(old.evidence_id, item.evidence_id)
    newest = times.newest(old.effective, item.effective)
    return Order(_is_newer(item, old, resources=resources), newest, of_two_records(old.evidence_id, item.evidence_id), resources)


def is_newer(item: PatientStatements, old: Assertion) -> bool | None:
    """Whether a payload is newer evidence than an assertion of its authority; ``None`` where their times overlap and nothing else tells.

    Versions order copies of one record only. A server counts them up, so the higher version of a FHIR resource is newer whatever the
    times say. A lower version with a later time comes from a server that restarted its count: nobody can tell. HL7's PID-33 breaks ties
    within one second.
    """
    return _is_newer(item, old, resources=of_two_resources(item.evidence_id, old.evidence_id))


def _is_newer(item: PatientStatements, old: Assertion, *, resources: bool) -> bool | None:
    by_time = item.effective.is_newer(old.effective)
    if item.version == old.version or resources:
        return by_time
    if _resource(item.evidence_id) and _resource(old.evidence_id):
        return True if item.version > old.version else None if by_time else False
    ties = by_time is None and item.effective == old.effective and times.is_precise(old.effective)
    return item.version > old.version if ties and item.version and old.version else by_time


def of_two_resources(one: str, other: str) -> bool:
    """Whether two evidence ids name versions of different FHIR resources."""
    first = _resource(one)
    return first != "" and _resource(other) not in ("", first)


def record_of(evidence_id: str) -> str:
    """The Consent or Flag that an evidence id names, whatever its version; empty for anything else."""
    return evidence_id.partition(VERSION)[0] if evidence_id.startswith(APART) else ""


def of_two_records(one: str, other: str) -> bool:
    """Whether two evidence ids name different records that state whether a patient may be contacted, whatever their versions."""
    first = refuser(one)
    return first != "" and refuser(other) not in ("", first)


def refuser(evidence_id: str) -> str:
    """The Consent, Flag or Patient that an evidence id names, whatever its version; empty for anything else."""
    return evidence_id.partition(VERSION)[0] if evidence_id.startswith(RECORDS) else ""


def is_unversioned(evidence_id: str) -> bool:
    """Whether an evidence id names a Consent, Flag or Patient without its version."""
    return bool(refuser(evidence_id)) and VERSION not in evidence_id


def wins(attribute: str, value: Any, than: Any, *, received_later: bool) -> bool:
    """Whether a value counts against another one if nobody can tell which is newer."""
    if is_refusable(attribute) or refuses(attribute, value) or refuses(attribute, than):
        return more_restrictive(attribute, value, than)
    return received_later


def stated(item: PatientStatements) -> Mapping[str, Statement]:
    """The statements that count. What a restricted record leaves out or deletes is no statement (product rule 5.6)."""
    if not withholds(item):
        return item.statements
    return {name: one for name, one in item.statements.items() if one.value is not None and one.value != ()}


def withholds(item: PatientStatements) -> bool:
    """Whether the record is restricted, or nobody can tell whether it is."""
    return item.restricted or (bool(item.problems) and any(one.attribute == RESTRICTED for one in item.problems))


def _resource(evidence_id: str) -> str:
    """The FHIR resource that an evidence id names a version of; empty for anything else."""
    resource, dated, _ = evidence_id.partition(VERSION)
    return resource if dated else ""
