"""How a server can be read: the plan made from its CapabilityStatement. Pure. Source: FHIR R4 5.1, R5 5.2 (CapabilityStatement).

Only some servers find Patients by ``_lastUpdated`` (athenahealth, NextGen Enterprise, OpenMRS, newer OpenEMR; not Epic, Oracle Health,
Canvas). The others are read in full each time; what did not change is told apart by its content when it is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adapters.fhir.decode import NotReadable, decode

LAST_UPDATED = "_lastUpdated"
RELEASES = {"4.0": "R4", "4.3": "R4B", "5.0": "R5", "3.0": "STU3", "1.0": "DSTU2"}


@dataclass(frozen=True, slots=True)
class Plan:
    """``incremental`` reads what changed since the cursor, else everything is read. ``why`` is for people."""

    incremental: bool
    why: str
    release: str = ""
    searches: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()


def plan(statement: bytes | None, read: str = "auto") -> Plan:
    """The plan for a server that answered ``/metadata`` with ``statement`` (``None``: not at all); ``read`` overrides it."""
    capability = _capability(statement)
    resources = _resources(capability)
    searches = _searches(resources.get("Patient", {}))
    release = str(capability.get("fhirVersion", ""))
    incremental, why = _choice(read, searches, told=bool(capability))
    return Plan(incremental, why, RELEASES.get(release[:3], release), searches, frozenset(resources))


def _choice(read: str, searches: frozenset[str], *, told: bool) -> tuple[bool, str]:
    if read != "auto":
        return read == "incremental", f"the setting read: {read} says so"
    if LAST_UPDATED in searches:
        return True, "the server searches Patient by _lastUpdated"
    if not told:
        return False, "the server tells nothing of what it can do, so each run reads everything"
    return False, "the server does not search Patient by _lastUpdated, so each run reads everything"


def _capability(statement: bytes | None) -> dict[str, Any]:
    try:
        found = decode(statement) if statement else {}
    except NotReadable:
        return {}
    return found if found.get("resourceType") in ("CapabilityStatement", "Conformance") else {}


def _resources(capability: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        one["type"]: one
        for rest in _objects(capability.get("rest"))
        if rest.get("mode") in ("server", None)
        for one in _objects(rest.get("resource"))
        if isinstance(one.get("type"), str)
    }


def _searches(resource: dict[str, Any]) -> frozenset[str]:
    return frozenset(one["name"] for one in _objects(resource.get("searchParam")) if isinstance(one.get("name"), str))


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if type(one) is dict] if type(value) is list else []
