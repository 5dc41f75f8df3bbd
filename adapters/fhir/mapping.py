"""Maps FHIR resources to statements. Pure. R4 and R5; DSTU2 and STU3 where they have the same elements.

A Patient is mapped by its standard elements and the site's rules, Consent and Flag by rules only, a Bundle by its entries. Other resources
are filtered.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeGuard
from zoneinfo import ZoneInfo

from adapters.base import Explanation, Filtered, Item, Payload, SourceSettings, Unmappable
from adapters.fhir import consent_flag, explain, reference, repeat_keys
from adapters.fhir.consent_flag_mapping import ConsentFlagMapper
from adapters.fhir.decode import NotReadable, decode_in_part
from adapters.fhir.modifiers import not_understood, understood
from adapters.fhir.options import MOST_RESTRICTIVE, mapper_options
from adapters.fhir.patient_mapping import PatientMapper
from adapters.fhir.resource import ResourceSource, SourceMapping
from adapters.fhir.site_rules import READ, compile_rules
from adapters.mapping import partial
from adapters.mapping.language import Languages
from adapters.mapping.rules import fingerprint
from store.preference import Codes, PatientStatements, Problem, Statement


class FhirMapper:
    """The mapping of one source. Raises ``ValueError`` if its rules or options are wrong."""

    def __init__(self, settings: SourceSettings) -> None:
        self.settings, self.options = settings, mapper_options(settings)
        by_options = consent_flag.consent_rules(self.options.consent) | consent_flag.flag_rules(self.options.flag)
        self.rules = compile_rules(settings, by_options, self.options.telecom)
        self.mapping = fingerprint(settings.mapping, by_options, self.options.consent, *settings.codes, *self.options.telecom)
        known = {kind: understood(self.options.understood, self.rules.get(kind, ())) for kind in READ}
        self._compiled = compiled = SourceMapping(
            settings,
            self.options,
            self.rules,
            known,
            ZoneInfo(settings.time_zone),
            self.mapping,
            repeat_keys.RepeatKeys(settings, self.options),
        )
        self._patients, self._records = PatientMapper(compiled), ConsentFlagMapper(compiled)
        self._server = reference.server_context((self.options.base_url, *self.options.other_base_urls))

    def read(self, payload: Payload) -> list[Item]:
        """The items of one resource or Bundle. Bad input becomes :class:`~adapters.base.Unmappable`.

        If the most restrictive of several Consents counts, one Consent alone can only refuse. Who can read the others uses
        ``read_unconfirmed``.
        """
        items = self.read_unconfirmed(payload)
        choose = self.options.consent.choose
        if choose != MOST_RESTRICTIVE:
            return items
        return [consent_flag.certain_only(item, choose) if _is_of_consent(item) else item for item in items]

    def reread(self, attribute: str, codes: Codes) -> tuple[Statement | None, Problem | None] | None:
        """What the current rules for Patient read in codes that were stored before (``store.domain.source_codes``). Consents and Flags are
        fetched again instead."""
        return partial.read_again(self.rules.get("Patient", ()), attribute, codes)

    def read_unconfirmed(self, payload: Payload) -> list[Item]:
        """Like :meth:`read`, with permissions that the patient's other Consents may still refuse (``consent_flag.unless_refused``)."""
        try:
            resource, flaw = decode_in_part(payload.body)
            return self._resource(resource, self._source(payload, flaw))
        except NotReadable as error:
            return [Unmappable(error.reason, str(error), payload.locator, payload.body)]
        except RecursionError:
            return [Unmappable("nested_too_deep", "it is nested too deeply", payload.locator, payload.body)]

    def unread(self, payload: Payload) -> list[Item | Payload]:
        """The payload itself if it is a Patient, so that whoever commits it may recognize it. Otherwise :meth:`read_unconfirmed`."""
        return [payload] if repeat_keys.is_patient(payload.body) else [*self.read_unconfirmed(payload)]

    def glance(self, payload: Payload) -> PatientStatements | None:
        """What tells a Patient that may have come before, byte for byte, without what it states. ``None`` for anything else."""
        resource = repeat_keys.head(payload.body)
        return None if resource is None else self._compiled.glance(resource, self._source(payload, None))

    def explain(self, payload: Payload) -> Explanation:
        """What one resource or Bundle states, and what in it is not read."""
        items = self.read(payload)
        try:
            resource, _ = decode_in_part(payload.body)
        except NotReadable:
            return Explanation(items)
        return explain.explain(resource, items, self.rules, self.options, Languages(self.settings.languages))

    def _source(self, payload: Payload, flaw: NotReadable | None) -> ResourceSource:
        received = payload.received
        day = _iso(received.year, received.month, received.day)
        return ResourceSource(payload.locator, received, day, payload.body, payload.stated, self._server, flaw)

    def _resource(self, resource: dict[str, Any], source: ResourceSource) -> list[Item]:
        kind = resource["resourceType"]
        if kind == "Patient":
            return self._patients.items(resource, source)
        if kind in ("Consent", "Flag"):
            return [self._records.item(kind, resource, source)]
        if kind == "Bundle":
            return self._bundle(resource, source)
        return [Filtered("resource_not_used", source.locator)]

    def _bundle(self, bundle: dict[str, Any], source: ResourceSource) -> list[Item]:
        entries = bundle.get("entry")
        if entries is None:
            return []
        if type(entries) is not list:
            return [source.unmappable("bundle_unreadable", "Bundle.entry is not a list", bundle)]
        context = reference.bundle_context(entries, source.context, self.settings, source.day)
        inside = source._replace(body=b"", context=context, modifiers=self._outer_modifiers(bundle, "entry", "Bundle", source))
        return [item for index, entry in enumerate(entries) for item in self._entry(entry, index, inside)]

    def _outer_modifiers(self, holder: Any, inner: str, path: str, source: ResourceSource) -> tuple[str, ...]:
        """The modifiers around a resource: those of a Bundle or an entry that are not inside its element ``inner``."""
        outside = {name: value for name, value in holder.items() if name != inner} if type(holder) is dict else {}
        return (*source.modifiers, *not_understood(outside, path, frozenset(self.options.understood)))

    def _entry(self, entry: Any, index: int, source: ResourceSource) -> list[Item]:
        context = self._outer_modifiers(entry, "resource", f"Bundle.entry[{index}]", source)
        source = source._replace(locator=f"{source.locator}#entry[{index}]", modifiers=context)
        resource = entry.get("resource") if type(entry) is dict else None
        search = entry.get("search") if type(entry) is dict else None
        if type(search) is dict and search.get("mode") == "outcome":
            return [Filtered("search_outcome", source.locator)]
        if type(resource) is not dict:
            return [Filtered("entry_without_resource", source.locator)]
        if not isinstance(resource.get("resourceType"), str):
            return [source.unmappable("not_fhir", "the entry's resource has no resourceType", resource)]
        return self._resource(resource, source)


@lru_cache(maxsize=64)
def _iso(year: int, month: int, day: int) -> str:
    return f"{year:04d}-{month:02d}-{day:02d}"


def _is_of_consent(item: Item) -> TypeGuard[PatientStatements]:
    return isinstance(item, PatientStatements) and item.evidence_id.startswith("Consent")
