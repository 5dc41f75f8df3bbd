"""Maps a Patient to statements and merges: standard elements (``adapters.fhir.patient``), the site's rules, and links. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from adapters.base import Item
from adapters.fhir import contact_points, identity, link, modifiers, patient
from adapters.fhir.contact_points import ContactPoints
from adapters.fhir.resource import ResourceSource, SourceMapping
from adapters.fhir.site_rules import apply_rules, leave_out_illegible, preferred_by
from adapters.mapping.contact_tables import ContactTables
from adapters.mapping.identifiers import SEVERAL_OWN, SEVERAL_OWN_DETAIL, for_others
from adapters.mapping.language import Languages
from adapters.mapping.partial import Stated
from adapters.mapping.rules import Read
from adapters.mapping.texts import with_texts
from store import times
from store.preference import (
    ACTIVE,
    BIRTH_DATE,
    DECEASED,
    DENIED,
    DISPLAY_NAME,
    EMAIL,
    LANGUAGE,
    PHONES,
    PREFERRED_PHONE,
    RESTRICTED,
    PatientStatements,
    Problem,
    base,
    opt_out,
    refusal,
    refuses,
)

LONG_AGO = times.at(datetime(1970, 1, 1, tzinfo=UTC))
REST = ""
"""All that a record states besides the attributes by which it may refuse."""
ELEMENT = re.compile(r"Patient\._?(\w+)")
OF_THE_RECORD = ("", "id", "identifier", modifiers.MODIFIER, modifiers.RULES)
READ_FROM = {
    "meta": (RESTRICTED,),
    "deceasedBoolean": (DECEASED,),
    "deceasedDateTime": (DECEASED,),
    "active": (ACTIVE,),
    "communication": (LANGUAGE,),
    "name": (DISPLAY_NAME,),
    "birthDate": (BIRTH_DATE,),
    "telecom": (PHONES, EMAIL, PREFERRED_PHONE),
}
"""The attributes that are read from an element without a rule."""
NO_IDENTIFIER = "the Patient has no id (string) and no active identifier with the system and value that the source uses"


class PatientMapper:
    """Maps the Patients of one source."""

    def __init__(self, mapping: SourceMapping) -> None:
        self.mapping, self.rules = mapping, mapping.rules.get("Patient", ())
        self._region = mapping.settings.default_region
        self._tables, self._languages = ContactTables(mapping.settings.contact), Languages(mapping.settings.languages)
        self._preferred_by = preferred_by(mapping.settings)
        ruled = (base(rule.attribute) for rule in self.rules)
        self._read_from = READ_FROM | ({"extension": READ_FROM["telecom"]} if mapping.options.telecom else {})
        self._may_refuse = tuple(dict.fromkeys([*(name for name in ruled if opt_out(name) is not None), DECEASED, RESTRICTED]))

    def items(self, resource: dict[str, Any], source: ResourceSource) -> list[Item]:
        """The statements of the Patient, and the merges of its links."""
        identifiers, others = identity.identifiers(resource, self.mapping.settings, source.day)
        if not identifiers:
            detail = f"{NO_IDENTIFIER}{identity.described(resource, self.mapping.settings, source.day)}"
            return [source.without_patient("patient_id_missing", detail, resource)]
        several = [Problem(SEVERAL_OWN, "Patient.identifier", SEVERAL_OWN_DETAIL)] if others else []
        modified = self._modified(resource, source)
        problems = [Problem(modifiers.REASON, path, modifiers.DETAIL, name) for name, path in modified.items() if name != REST]
        codes: Read = {}
        points = contact_points.of(resource, self.mapping.options.telecom)
        stated, withheld = self._stated(resource, points, source, problems, codes)
        if modified:
            stated, codes = _refusals_of(modified, stated), {name: one for name, one in codes.items() if not _is_in(modified, name)}
        is_whole = bool(source.body) and not (source.flaw or several or "link" in resource)
        item = self.mapping.statements(
            resource, identifiers, stated, source, problems + several, restricted=withheld, codes=codes, is_whole=is_whole
        )
        later = patient.later(points, self._region, source.day, self._tables, restricted=withheld)
        if later and not _is_in(modified, PHONES):
            item = replace(item, later=later)
        items: list[Item] = self._linked(resource, item, source) if "link" in resource and REST not in modified else [item]
        return [*items, *for_others(item, others)] if others else items

    def _modified(self, resource: dict[str, Any], source: ResourceSource) -> dict[str, str]:
        """The attributes that a modifier makes unreadable, with its path: those read from the element that contains it.

        In the record itself, or in its identifiers, it makes all attributes unreadable (:data:`REST`).
        """
        found: dict[str, str] = {}
        for path in self.mapping.not_understood("Patient", resource, source):
            named = ELEMENT.match(path)
            element = named[1] if named else ""
            ruled = [base(rule.attribute) for rule in self.rules if modifiers.reads(rule, element)]
            for attribute in (*self._may_refuse, REST) if element in OF_THE_RECORD else (*ruled, *self._read_from.get(element, ())):
                found.setdefault(attribute, path)
        return found

    def _stated(
        self, resource: dict[str, Any], points: ContactPoints, source: ResourceSource, problems: list[Problem], codes: Read
    ) -> tuple[Stated, bool]:
        """The statements, and whether something was withheld: then missing values remove nothing."""
        ruled = apply_rules(self.rules, resource, self._region, problems, codes, points)
        if source.flaw:
            leave_out_illegible(ruled, self.rules, resource, problems, points)
        restricted = ruled.get(RESTRICTED) or patient.restriction(resource, problems)
        is_restricted = restricted is not None and restricted.value is True
        is_unread = bool(problems) and any(one.attribute == RESTRICTED for one in problems)
        withheld = is_restricted or is_unread or patient.is_incomplete(resource)
        if withheld:
            _drop_removals(ruled, codes)
        of_standard: list[Problem] = []
        stated = patient.statements(
            resource,
            points,
            self.mapping.settings,
            source.day,
            of_standard,
            self._tables,
            self._languages,
            restricted=withheld,
            preferred_by=self._preferred_by,
        )
        denied = {name: one for name, one in stated.items() if one.value == DENIED}
        phones = stated[PHONES].value or () if PHONES in stated else ()
        if restricted is not None:
            stated[RESTRICTED] = restricted
        ruled = with_texts(ruled, phones, self._region, self._languages, problems)
        # a rule replaces the standard reading with its problems, but not those of a refusal
        problems += [one for one in of_standard if one.attribute not in ruled or refusal(one.attribute) is not None]
        return stated | ruled | denied, withheld

    def _linked(self, resource: dict[str, Any], item: PatientStatements, source: ResourceSource) -> list[Item]:
        """The statements, and the merges of the links. Of a merged record, only the refusals are kept.

        If times are not trusted, their time is set to 1970: they are read in every run and must not look new for the survivor.
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


def _is_in(modified: Mapping[str, str], attribute: str) -> bool:
    return REST in modified or base(attribute) in modified


def _refusals_of(modified: Mapping[str, str], stated: Stated) -> Stated:
    """The statements without the non-refusing ones of modified elements."""
    return {name: one for name, one in stated.items() if refuses(name, one.value) or not _is_in(modified, name)}


def _drop_removals(ruled: Stated, codes: Read) -> None:
    """Drops the statements of rules that remove a value, and their empty codes: in an incomplete record a missing code means nothing."""
    for attribute in [name for name, one in ruled.items() if one.value is None]:
        del ruled[attribute]
        if attribute in codes and not codes[attribute].found:
            del codes[attribute]
