"""A Patient in, what it states out: standard elements (``adapters.fhir.patient``), the site's rules, and merges by its links. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from adapters.base import Item
from adapters.fhir import identity, link, patient
from adapters.fhir.resource import ResourceSource, SourceMapping
from adapters.fhir.site_rules import apply_rules, in_our_words, leave_out_illegible, preferred_by
from adapters.mapping.contact_tables import ContactTables
from adapters.mapping.identifiers import SEVERAL_OWN, SEVERAL_OWN_DETAIL, for_others
from adapters.mapping.language import Languages
from adapters.mapping.partial import Stated
from adapters.mapping.refusals import can_refuse
from adapters.mapping.site_rules import Read
from store import times
from store.preference import DECEASED, DENIED, PHONES, RESTRICTED, PatientStatements, Problem, base

LONG_AGO = times.at(datetime(1970, 1, 1, tzinfo=UTC))
NO_IDENTIFIER = "the Patient has no id (string) and no active identifier with the system and value that the source uses"


class PatientMapper:
    """Maps the Patients of one source."""

    def __init__(self, mapping: SourceMapping) -> None:
        self.mapping, self.rules = mapping, mapping.rules.get("Patient", ())
        self._region = mapping.settings.default_region
        self._tables, self._languages = ContactTables(mapping.settings.contact), Languages(mapping.settings.languages)
        self._preferred_by = preferred_by(mapping.settings)
        ruled = (base(rule.attribute) for rule in self.rules)
        self._may_refuse = tuple(dict.fromkeys([*(name for name in ruled if can_refuse(name)), DECEASED, RESTRICTED]))

    def items(self, resource: dict[str, Any], source: ResourceSource) -> list[Item]:
        """What the Patient states, and the merges that its links state."""
        identifiers, others = identity.identifiers(resource, self.mapping.settings, source.day)
        if not identifiers:
            detail = f"{NO_IDENTIFIER}{identity.came(resource, self.mapping.settings, source.day)}"
            return [source.without_patient("patient_id_missing", detail, resource)]
        several = [Problem(SEVERAL_OWN, "Patient.identifier", SEVERAL_OWN_DETAIL)] if others else []
        problems = self.mapping.not_understood("Patient", resource, self._may_refuse)
        if problems:
            item = self.mapping.statements(resource, identifiers, {}, source, [*problems, *several])
            return [item, *for_others(item, others)]
        codes: Read = {}
        stated, withheld = self._stated(resource, source, problems, codes)
        item = self.mapping.statements(resource, identifiers, stated, source, problems + several, restricted=withheld, codes=codes)
        if ahead := patient.later(resource, self._region, source.day, self._tables, restricted=withheld):
            item = replace(item, later=ahead)
        items: list[Item] = self._linked(resource, item, source) if "link" in resource else [item]
        return [*items, *for_others(item, others)] if others else items

    def _stated(self, resource: dict[str, Any], source: ResourceSource, problems: list[Problem], codes: Read) -> tuple[Stated, bool]:
        """The statements, and whether something was withheld: what is missing then takes nothing back."""
        ruled = apply_rules(self.rules, resource, self._region, problems, codes)
        if source.flaw:
            leave_out_illegible(ruled, self.rules, resource, problems)
        restricted = ruled.get(RESTRICTED) or patient.restriction(resource, problems)
        is_restricted = restricted is not None and restricted.value is True
        withheld = is_restricted or patient.is_part(resource) or any(one.attribute == RESTRICTED for one in problems)
        if withheld:
            _take_nothing_back(ruled, codes)
        stated = patient.statements(
            resource,
            self.mapping.settings,
            source.day,
            problems,
            self._tables,
            self._languages,
            restricted=withheld,
            preferred_by=self._preferred_by,
        )
        denied = {name: one for name, one in stated.items() if one.value == DENIED}
        phones = stated[PHONES].value or () if PHONES in stated else ()
        if restricted is not None:
            stated[RESTRICTED] = restricted
        stated |= in_our_words(ruled, phones, self._region, problems, self._languages) | denied
        return stated, withheld

    def _linked(self, resource: dict[str, Any], item: PatientStatements, source: ResourceSource) -> list[Item]:
        """The statements, and the merges that the links state. Of a record merged away only its refusals are kept.

        Where times are not trusted they are set long ago: read again with every run, they must not pass for news of the survivor.
        """
        problems, named = list(item.problems), partial(self.mapping.patient, resource=resource, source=source)
        merges = list(link.merges(resource, item, named, self.mapping.understood["Patient"], problems))
        stated, effective = dict(item.statements), item.effective
        if any(set(merge.merged) == set(item.identifiers) for merge in merges):
            stated, item = link.opt_outs(stated), replace(item, codes={}, later=())
            effective = effective if self.mapping.options.trust_last_updated else LONG_AGO
            if not stated and not problems:
                return list(merges)
        return [replace(item, statements=stated, effective=effective, problems=tuple(problems)), *merges]


def _take_nothing_back(ruled: Stated, codes: Read) -> None:
    """Leaves out what rules take back; nor does a record of which a part was withheld say that there is no code."""
    for attribute in [name for name, one in ruled.items() if one.value is None]:
        del ruled[attribute]
        if attribute in codes and not codes[attribute].found:
            del codes[attribute]
