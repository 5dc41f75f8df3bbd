"""Checks a FHIR server before or at the start of a run: its capabilities, and whether one resource can be read and mapped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from adapters.base import AdapterError, Finding, Payload, Unmappable
from adapters.fhir import capability, group_members, strict
from adapters.fhir.auth import SmartBackend
from adapters.fhir.capability import Plan
from adapters.fhir.client import FhirClient
from adapters.fhir.decode import NotReadable, decode
from adapters.fhir.export_options import ExportOptions
from adapters.fhir.mapping import FhirMapper
from adapters.fhir.options import RestOptions
from store.preference import PatientStatements

Step = Callable[[FhirClient, FhirMapper, RestOptions], Iterator[Finding]]


def plan(client: FhirClient, options: RestOptions) -> Plan:
    """The plan for reading the server. A server without a capability statement is read in full."""
    try:
        statement = client.get("metadata") if options.read == "auto" else None
    except AdapterError as error:
        if not error.permanent:
            raise
        statement = None
    return capability.plan(statement.body if statement else None, options.read, group=bool(options.group))


def findings(client: FhirClient, mapper: FhirMapper, options: RestOptions) -> Iterator[Finding]:
    """The findings of ``check`` for polling. The first step that fails is the last."""
    steps = (("token", _token), ("capability", _capability), ("budget", _budget), ("sample read", _sample))
    yield from _steps(steps, client, mapper, options)


def export_findings(client: FhirClient, mapper: FhirMapper, options: RestOptions, export: ExportOptions) -> Iterator[Finding]:
    """The findings of ``check`` for bulk exports. No export is requested, because servers allow few."""

    def planned(client: FhirClient, mapper: FhirMapper, options: RestOptions) -> Iterator[Finding]:
        yield from _export(client, mapper, options, export)

    yield from _steps((("token", _token), ("export", planned), ("budget", _budget)), client, mapper, options)


def _steps(steps: Iterable[tuple[str, Step]], client: FhirClient, mapper: FhirMapper, options: RestOptions) -> Iterator[Finding]:
    for what, step in steps:
        try:
            yield from step(client, mapper, options)
        except AdapterError as error:
            yield Finding(what, False, str(error))
            return


def _export(client: FhirClient, mapper: FhirMapper, options: RestOptions, export: ExportOptions) -> Iterator[Finding]:
    found = plan(client, replace(options, read="auto"))
    yield _release_finding(found)
    yield _export_finding(found, export)
    yield from _members(client, export)
    later = "later ones read changes since the last transactionTime" if export.since else "later ones read everything and compare content"
    yield Finding("plan", True, f"bulk exports: {export.path}; the first reads all patients, {later}")


def _release_finding(found: Plan) -> Finding:
    """The FHIR release of the server. A server without /metadata is synced nevertheless."""
    silent = "the server has no readable /metadata: it is read anyway, but always in full"
    return Finding("capability", True, f"FHIR {found.release}" if found.release else silent)


def _export_finding(found: Plan, export: ExportOptions) -> Finding:
    if export.level in found.exports:
        return Finding("export", True, f"the server supports exports at the level {export.level}")
    if not found.release:
        return Finding("export", True, f"unknown whether the server supports {export.path}: the first run will show")
    others = f"; it declares {', '.join(sorted(found.exports))}" if found.exports else "; many servers support exports without declaring it"
    return Finding("export", False, f"not declared: {export.path}{others}")


def _members(client: FhirClient, export: ExportOptions) -> Iterator[Finding]:
    """Whether the group's members can be listed. Otherwise incremental exports miss new members with old data."""
    if not export.group or not export.since:
        return
    names = group_members.members(client, export.group)
    seen = "the group members cannot be listed: new members with old data are found only by a full_resync; schedule one"
    yield Finding("group", names is not None, f"{len(names)} members; new ones are read separately" if names is not None else seen)


def _budget(client: FhirClient, mapper: FhirMapper, options: RestOptions) -> Iterator[Finding]:
    limits = options.limits
    limits_in_words = [
        f"{limits.requests_per_minute:g} requests per minute" if limits.requests_per_minute else "no request limit",
        f"{limits.parallel} parallel downloads",
        *(f"quiet from {one.start:%H:%M} to {one.end:%H:%M} ({limits.time_zone})" for one in limits.quiet),
        *([f"one export in {limits.bulk_every}"] if limits.bulk_every else []),
    ]
    yield Finding("budget", True, ", ".join(limits_in_words))


def _token(client: FhirClient, mapper: FhirMapper, options: RestOptions) -> Iterator[Finding]:
    client.authorize()
    if not isinstance(client.auth, SmartBackend):
        yield Finding("token", True, f"auth.kind {options.auth.get('kind') or 'none'} needs no token")
        return
    asked, granted = set(client.auth.asked_scope.split()), set(client.auth.scope.split())
    missing = sorted(asked - granted) if granted else []
    detail = f"the server granted fewer scopes than requested: missing {', '.join(missing)}" if missing else "a token was granted"
    yield Finding("token", not missing, detail)


def _capability(client: FhirClient, mapper: FhirMapper, options: RestOptions) -> Iterator[Finding]:
    found = plan(client, replace(options, read="auto"))
    yield _release_finding(found)
    yield from (
        Finding("capability", False, f"the mapping has rules for {kind}, which the server does not support")
        for kind in mapper.rules
        if found.types and kind not in found.types
    )
    chosen = found if options.read == "auto" else capability.plan(None, options.read)
    way = (
        "incremental reads"
        if chosen.incremental
        else "crawl by the group's members"
        if chosen.crawls
        else "full reads, compared by content"
    )
    yield Finding("plan", True, f"{way}: {chosen.why}")
    if found.exports and not chosen.incremental:
        offers = ", ".join(sorted(found.exports))
        yield Finding("plan", True, f"the server also exports in bulk ({offers}): adapter fhir.bulk needs fewer requests")


def _sample(client: FhirClient, mapper: FhirMapper, options: RestOptions) -> Iterator[Finding]:
    if plan(client, options).crawls:
        names = group_members.members(client, options.group)
        seen = f"the group lists {len(names)} members" if names is not None else "the group members cannot be read: check group"
        yield Finding("group", names is not None, seen)
        return
    page = next(client.search("Patient", {**options.search, "_count": "1"}))
    if not page.page.resources:
        yield Finding("sample read", False, "the search found no Patient: check the granted scopes and the setting search")
        return
    items = mapper.read(Payload(page.page.resources[0], "sample", page.at))
    yield from (Finding("sample read", False, f"{item.reason}: {item.detail}") for item in items if isinstance(item, Unmappable))
    for item in items:
        if isinstance(item, PatientStatements):
            yield Finding("sample read", True, f"read one Patient with: {', '.join(item.statements) or 'no preferences'}")
            yield from (Finding("sample read", True, f"left out: {one.reason} at {one.path}") for one in item.problems)
    yield from _conformance(page.page.resources[0], client, options)


def _conformance(body: bytes, client: FhirClient, options: RestOptions) -> Iterator[Finding]:
    """Where the sample deviates from the standard. This often explains missing data."""
    try:
        found = list(strict.deviations(decode(body), plan(client, replace(options, read="auto")).release))
    except NotReadable:
        return
    places = ", ".join(sorted({one.path for one in found}))
    yield Finding("sample shape", True, f"not as FHIR specifies: {places}" if found else "as FHIR specifies")
