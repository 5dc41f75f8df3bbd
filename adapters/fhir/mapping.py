"""FHIR resources in, statements out. Pure. R4 and R5; DSTU2 and STU3 are read where they have the same elements.

Patient states by its own elements and by the site's rules; Consent and Flag state by rules only; a Bundle is its entries;
every other resource is none of our concern.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, TypeGuard

from adapters.base import Explanation, Filtered, Item, Payload, SourceSettings, Unmappable
from adapters.fhir import explain, identity, link, patient, standing
from adapters.fhir.decode import NotReadable, decode, encode
from adapters.fhir.moment import instant
from adapters.fhir.options import MOST_RESTRICTIVE, mapper_options
from adapters.fhir.rules import apply_rules, compile_rules, in_our_words, preferred_by
from adapters.fhir.standing import Standing
from adapters.site_mapping import Refusal
from store.preference import PHONES, RESTRICTED, Identifier, PatientStatements, Problem, Statement

FUTURE = timedelta(minutes=15)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class _Source(NamedTuple):
    """Where a resource came from; ``body`` is empty for an entry of a Bundle, which is written again when it is rejected.

    ``undated`` is when it is taken to be true if it carries no time of its own.
    """

    locator: str
    received: datetime
    body: bytes
    undated: datetime


class FhirMapper:
    """The mapping of one source. Raises ``ValueError`` when its rules or options are wrong."""

    def __init__(self, settings: SourceSettings) -> None:
        self.settings = settings
        self.options = mapper_options(settings)
        by_options = standing.consent_rules(self.options.consent) | standing.flag_rules(self.options.flag)
        self.rules = compile_rules(settings, by_options)
        self.preferred_by = preferred_by(settings)

    def read(self, payload: Payload) -> list[Item]:
        """What one resource or Bundle says. Bad input becomes :class:`~adapters.base.Unmappable`.

        Where the most restrictive of several Consents counts, one alone only refuses: whoever can ask for the others uses ``claims``.
        """
        items = self.claims(payload)
        choose = self.options.consent.choose
        if choose != MOST_RESTRICTIVE:
            return items
        return [standing.certain_only(item, choose) if _is_of_consent(item) else item for item in items]

    def claims(self, payload: Payload) -> list[Item]:
        """Like :meth:`read`, with permissions that the patient's other Consents may still refuse (``standing.unless_refused``)."""
        try:
            resource = decode(payload.body)
        except NotReadable as error:
            return [Unmappable(error.reason, str(error), payload.locator, payload.body)]
        return self.resource(resource, _Source(payload.locator, payload.received, payload.body, payload.undated))

    def explain(self, payload: Payload) -> Explanation:
        """What one resource or Bundle says, and what in it nothing reads."""
        items = self.read(payload)
        try:
            resource = decode(payload.body)
        except NotReadable:
            return Explanation(items)
        return explain.explain(resource, items, self.rules)

    def resource(self, resource: dict[str, Any], source: _Source) -> list[Item]:
        """What one resource, already decoded, says."""
        kind = resource["resourceType"]
        if kind == "Patient":
            return self._patient(resource, source)
        if kind in ("Consent", "Flag"):
            return [self._record(kind, resource, source)]
        if kind == "Bundle":
            return self._bundle(resource, source)
        return [Filtered("resource_not_used", source.locator)]

    def _bundle(self, bundle: dict[str, Any], source: _Source) -> list[Item]:
        entries = bundle.get("entry")
        if entries is None:
            return []
        if type(entries) is not list:
            return [_unmappable("bundle_unreadable", "Bundle.entry is not a list", source, bundle)]
        return [item for index, entry in enumerate(entries) for item in self._entry(entry, f"{source.locator}#entry[{index}]", source)]

    def _entry(self, entry: Any, locator: str, source: _Source) -> list[Item]:
        resource = entry.get("resource") if type(entry) is dict else None
        search = entry.get("search") if type(entry) is dict else None
        if type(search) is dict and search.get("mode") == "outcome":
            return [Filtered("search_outcome", locator)]
        if type(resource) is not dict:
            return [Filtered("entry_without_resource", locator)]
        within = _Source(locator, source.received, b"", source.undated)
        if not isinstance(resource.get("resourceType"), str):
            return [_unmappable("not_fhir", "the entry's resource has no resourceType", within, resource)]
        return self.resource(resource, within)

    def _patient(self, resource: dict[str, Any], source: _Source) -> list[Item]:
        today = _day(source.received)
        identifiers = identity.identifiers(resource, self.settings, today)
        if not identifiers:
            detail = "the Patient has neither an id (a text) nor an identifier in use with system and value"
            return [_unmappable("patient_id_missing", detail, source, resource)]
        ruled = apply_rules(self.rules.get("Patient", ()), resource, self.settings.default_region)
        if isinstance(ruled, Refusal):
            return [_refused(ruled, source, resource)]
        problems: list[Problem] = []
        restricted = ruled.get(RESTRICTED) or patient.restriction(resource)
        is_restricted = restricted is not None and restricted.value is True
        if is_restricted:  # what is missing of a restricted record was withheld: it takes nothing back
            ruled = {attribute: one for attribute, one in ruled.items() if one.value is not None}
        stated = patient.statements(resource, self.settings, today, problems, restricted=is_restricted, preferred_by=self.preferred_by)
        phones = stated[PHONES].value or () if PHONES in stated else ()
        if restricted is not None:
            stated[RESTRICTED] = restricted
        stated.update(in_our_words(ruled, phones, self.settings.default_region, problems))
        said = self._said(resource, identifiers, stated, source, problems, restricted=is_restricted)
        if "link" not in resource:
            return [said]
        return self._linked(resource, said)

    def _linked(self, resource: dict[str, Any], said: PatientStatements) -> list[Item]:
        """The statements, and the merges that the links state. Of a record merged away only its refusals are kept.

        Where times are not trusted they are set long ago: read again with every run, they must not pass for news of the survivor.
        """
        problems = list(said.problems)
        merges = list(link.merges(resource, said, self.settings, self.options.base_url, problems))
        stated, effective = dict(said.statements), said.effective
        if any(set(merge.merged) == set(said.identifiers) for merge in merges):
            stated = link.opt_outs(stated)
            effective = effective if self.options.trust_last_updated else LONG_AGO
            if not stated and not problems:
                return list(merges)
        kept = PatientStatements(
            said.identifiers, stated, effective, said.evidence_id, said.version, said.restricted, tuple(problems), said.locator
        )
        return [kept, *merges]

    def _record(self, kind: str, resource: dict[str, Any], source: _Source) -> Item:
        """A Consent or a Flag."""
        rules, options = self.rules.get(kind, ()), self.options.consent
        today = _day(source.received)
        if not rules or (kind == "Consent" and not standing.is_about_messages(resource, options)):
            return Filtered(f"{kind.lower()}_not_configured", source.locator)
        found = standing.consent_standing(resource, options, today) if kind == "Consent" else standing.flag_standing(resource, today)
        if found is Standing.NOT_YET:
            return Filtered(f"{kind.lower()}_not_in_force", source.locator)
        if found is Standing.IN_FORCE:
            ruled = apply_rules(rules, resource, self.settings.default_region)
            if isinstance(ruled, Refusal):
                return _refused(ruled, source, resource)
        else:
            attributes = [rule.attribute for rule in rules if rule.attribute == options.attribute or self._says(rule, resource)]
            ruled = standing.out_of_force(attributes, found, f"{kind}.status")
        if not ruled:
            return Filtered(f"{kind.lower()}_not_configured", source.locator)
        return self._about(kind, resource, ruled, found, source)

    @staticmethod
    def _says(rule: Any, resource: dict[str, Any]) -> bool:
        outcome = rule.apply(resource)
        return not isinstance(outcome, Refusal) and outcome is not None

    def _about(self, kind: str, resource: dict[str, Any], ruled: dict[str, Statement], found: Standing, source: _Source) -> Item:
        """The statements of a Consent or Flag about the patient it refers to."""
        reference = resource.get("patient") or resource.get("subject")
        target = reference.get("reference") if type(reference) is dict else None
        identifier = identity.reference(reference, self.settings, self.options.base_url)
        if identifier is None and isinstance(target, str) and target.partition("/")[0] in ("Group", "Location", "Organization"):
            return Filtered("subject_not_patient", source.locator)
        if identifier is None:
            return _unmappable("patient_reference_missing", f"{kind} refers to no patient of this server", source, resource)
        problems: list[Problem] = []
        stated = in_our_words(ruled, (), self.settings.default_region, problems)
        return self._said(resource, (identifier,), stated, source, problems, asserted=self._asserted(kind, resource, found))

    def _asserted(self, kind: str, resource: dict[str, Any], found: Standing) -> tuple[datetime, str] | None:
        """When a Consent was given; a refusal counts from the record's last change, and an end from when it came, if that is later."""
        if kind == "Consent":
            given = instant(resource.get("dateTime") or resource.get("date"))
            return (given, "Consent.dateTime") if given and found is not Standing.REFUSED else None
        period, meta = resource.get("period"), resource.get("meta")
        end = instant(period.get("end")) if found is Standing.ENDED and type(period) is dict else None
        updated = instant(meta.get("lastUpdated")) if type(meta) is dict and self.options.trust_last_updated else None
        return (end, "Flag.period.end") if end and updated and end > updated else None

    def _said(
        self,
        resource: dict[str, Any],
        identifiers: tuple[Identifier, ...],
        stated: dict[str, Statement],
        source: _Source,
        problems: list[Problem],
        *,
        restricted: bool = False,
        asserted: tuple[datetime, str] | None = None,
    ) -> PatientStatements:
        meta = resource.get("meta")
        meta = meta if type(meta) is dict else {}
        kind, version = resource["resourceType"], meta.get("versionId")
        updated = instant(meta.get("lastUpdated")) if self.options.trust_last_updated else None
        effective, path = asserted or (updated, f"{kind}.meta.lastUpdated")
        if effective is not None and effective > source.received + FUTURE:
            problems.append(Problem("time_in_future", path, "the time of receipt, or of its file, is used instead"))
            effective = source.undated
        return PatientStatements(
            identifiers,
            stated,
            effective or source.undated,
            _evidence(kind, resource.get("id"), version),
            int(version) if isinstance(version, str) and version.isascii() and version.isdigit() and len(version) < 16 else 0,
            restricted,
            tuple(problems),
            source.locator,
        )


def _evidence(kind: str, name: Any, version: Any) -> str:
    """``Patient/<id>/_history/<version>``, as far as the resource says."""
    made = f"{kind}/{name}" if isinstance(name, str) and name else kind
    return f"{made}/_history/{version}" if isinstance(version, str) and version else made


def _is_of_consent(item: Item) -> TypeGuard[PatientStatements]:
    return isinstance(item, PatientStatements) and item.evidence_id.startswith("Consent")


def _refused(refusal: Refusal, source: _Source, resource: dict[str, Any]) -> Unmappable:
    return Unmappable(refusal.reason, refusal.detail, source.locator, source.body or encode(resource), refusal.path)


def _unmappable(reason: str, detail: str, source: _Source, resource: Any) -> Unmappable:
    return Unmappable(reason, detail, source.locator, source.body or encode(resource))


@lru_cache(maxsize=64)
def _iso(year: int, month: int, day: int) -> str:
    return f"{year:04d}-{month:02d}-{day:02d}"


def _day(received: datetime) -> str:
    return _iso(received.year, received.month, received.day)
