"""The plan for reading a server, from its CapabilityStatement. Pure. Source: FHIR R4 5.1, R5 5.2 (CapabilityStatement).

Only some servers can search Patient by ``_lastUpdated`` (athenahealth, NextGen Enterprise, OpenMRS, newer OpenEMR; not Epic, Oracle Health,
Canvas). The others are read in full each time; the store recognizes unchanged records by their content.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adapters.fhir.decode import NotReadable, decode

LAST_UPDATED = "_lastUpdated"
CRAWL = "the members of the group are read one by one because Patients are not searched"
RELEASES = {"4.0": "R4", "4.3": "R4B", "5.0": "R5", "3.0": "STU3", "1.0": "DSTU2"}


@dataclass(frozen=True, slots=True)
class Plan:
    """How to read a server. ``incremental``: only what changed since the cursor; otherwise everything. ``why``: the reason, for people."""

    incremental: bool
    why: str
    release: str = ""
    searches: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    exports: frozenset[str] = frozenset()  # patient, group, system: the levels at which the server declares exports
    crawls: bool = False  # read one by one


def plan(statement: bytes | None, read: str = "auto", *, group: bool = False) -> Plan:
    """The plan for a server whose ``/metadata`` returned ``statement`` (``None``: nothing). ``read`` overrides it.

    ``group``: a group is configured whose members can be read one by one if Patients cannot be searched.
    """
    capability = _capability(statement)
    resources = _resources(capability)
    searches = _searches(resources.get("Patient", {}))
    release = str(capability.get("fhirVersion", ""))
    crawls = read == "crawl" or (read == "auto" and group and bool(capability) and not _searchable(resources.get("Patient", {})))
    incremental, why = (False, CRAWL) if crawls else _choice(read, searches, has_capability=bool(capability))
    return Plan(
        incremental,
        why,
        RELEASES.get(release[:3], release),
        searches,
        frozenset(resources),
        _exports(capability, resources),
        crawls,
    )


def _choice(read: str, searches: frozenset[str], *, has_capability: bool) -> tuple[bool, str]:
    if read != "auto":
        return read == "incremental", f"set by read: {read}"
    if LAST_UPDATED in searches:
        return True, "the server can search Patient by _lastUpdated"
    if not has_capability:
        return False, "the server has no capability statement, so each run reads everything"
    return False, "the server cannot search Patient by _lastUpdated, so each run reads everything"


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


def _exports(capability: dict[str, Any], resources: dict[str, dict[str, Any]]) -> frozenset[str]:
    """The levels at which an ``export`` operation is declared, by name or definition. Source: Bulk Data Access IG, OperationDefinitions."""
    servers = [rest for rest in _objects(capability.get("rest")) if rest.get("mode") in ("server", None)]
    declared = {"system": servers, "patient": [resources.get("Patient", {})], "group": [resources.get("Group", {})]}
    named = {level for level, ones in declared.items() if any(_is_export(one, level) for holder in ones for one in _operations(holder))}
    # Some servers list all operations at system level; only the definition tells their level.
    everywhere = [one for rest in servers for one in _operations(rest)]
    return frozenset(named | {level for level in ("patient", "group") if any(_defines(one, level) for one in everywhere)})


def _is_export(operation: dict[str, Any], level: str) -> bool:
    if level == "system" and (_defines(operation, "patient") or _defines(operation, "group")):
        return False
    return str(operation.get("name", "")).lstrip("$").endswith("export")


def _defines(operation: dict[str, Any], level: str) -> bool:
    definition = operation.get("definition")  # STU3 wrote a reference here
    definition = definition.get("reference") if isinstance(definition, dict) else definition
    return str(definition or "").endswith(f"{level}-export")


def _operations(holder: dict[str, Any]) -> list[dict[str, Any]]:
    return _objects(holder.get("operation"))


def _searchable(resource: dict[str, Any]) -> bool:
    """Whether Patients can be searched. A server that lists no interactions counts as searchable."""
    codes = [one.get("code") for one in _objects(resource.get("interaction"))]
    return not codes or "search-type" in codes


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if type(one) is dict] if type(value) is list else []
