"""FHIR resources in, statements out. Pure. R4 and R5; DSTU2 and STU3 are read where they have the same elements.

Patient states by its own elements and by the site's rules; Consent and Flag state by rules only; a Bundle is its entries;
every other resource is none of our concern.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from functools import partial as bound
from hashlib import blake2b
from typing import Any, NamedTuple, TypeGuard
from zoneinfo import ZoneInfo

from adapters.base import Explanation, Filtered, Item, Payload, SourceSettings, Unmappable
from adapters.fhir import absent, consent_flag, explain, identity, link, modifiers, patient, reference
from adapters.fhir.decode import NotReadable, decode_in_part, encode
from adapters.fhir.modifiers import not_understood, understood
from adapters.fhir.options import MOST_RESTRICTIVE, mapper_options
from adapters.fhir.periods import MOST, RecordStatus, When, turns
from adapters.fhir.reference import Surroundings
from adapters.fhir.site_rules import apply_rules, compile_rules, leave_out_illegible, preferred_by
from adapters.mapping import iso_time, partial
from adapters.mapping.contact_tables import ContactTables
from adapters.mapping.identifiers import SEVERAL_OWN, SEVERAL_OWN_DETAIL, for_others
from adapters.mapping.language import Languages
from adapters.mapping.partial import Stated
from adapters.mapping.site_rules import Read, Rule, fingerprint
from adapters.mapping.texts import with_texts
from store import times
from store.preference import (
    DECEASED,
    DENIED,
    PHONES,
    RESTRICTED,
    Codes,
    Identifier,
    Later,
    PatientStatements,
    Problem,
    Statement,
    base,
    is_opt_out,
    opt_out,
)
from store.times import Time

DATED, PERIOD_UNREADABLE = "Consent.dateTime", "period_unreadable"
LONG_AGO = times.at(datetime(1970, 1, 1, tzinfo=UTC))


class _Permits(Enum):
    """Whether all that a record states permits contact, and all of it can be read."""

    ONLY = "only"
    IN_PART = "in part"
    NOTHING = "nothing"


class _Source(NamedTuple):
    """Where a resource came from; ``body`` is empty for an entry of a Bundle, which is written again when it is rejected.

    ``undated`` is when it was stated if it carries no time of its own.
    """

    locator: str
    received: datetime
    body: bytes
    undated: Time
    around: Surroundings
    flaw: NotReadable | None  # why the payload is legible only in part


class FhirMapper:
    """The mapping of one source. Raises ``ValueError`` when its rules or options are wrong."""

    def __init__(self, settings: SourceSettings) -> None:
        self.settings, self._zone = settings, ZoneInfo(settings.time_zone)
        self.options = mapper_options(settings)
        by_options = consent_flag.consent_rules(self.options.consent) | consent_flag.flag_rules(self.options.flag)
        self.rules = compile_rules(settings, by_options)
        self.mapping = fingerprint(settings.rules, by_options, self.options.consent, *settings.codes)
        self._tables, self._languages = ContactTables(settings.contact), Languages(settings.languages)
        self._understood = {kind: understood(self.options.understood, rules) for kind, rules in self.rules.items()}
        self._server = reference.surroundings((self.options.base_url, *self.options.other_base_urls))
        self.preferred_by = preferred_by(settings)

    def read(self, payload: Payload) -> list[Item]:
        """What one resource or Bundle says. Bad input becomes :class:`~adapters.base.Unmappable`.

        Where the most restrictive of several Consents counts, one alone only refuses: whoever can ask for the others uses ``claims``.
        """
        items = self.claims(payload)
        choose = self.options.consent.choose
        if choose != MOST_RESTRICTIVE:
            return items
        return [consent_flag.certain_only(item, choose) if _is_of_consent(item) else item for item in items]

    def reread(self, attribute: str, codes: Codes) -> tuple[Statement | None, Problem | None] | None:
        """What today's rules for Patient make of codes that were read before (``store.domain.source_codes``). Consents and Flags are read
        again."""
        return partial.read_again(self.rules.get("Patient", ()), attribute, codes)

    def claims(self, payload: Payload) -> list[Item]:
        """Like :meth:`read`, with permissions that the patient's other Consents may still refuse (``consent_flag.unless_refused``)."""
        try:
            resource, flaw = decode_in_part(payload.body)
            items = self.resource(resource, _Source(payload.locator, payload.received, payload.body, payload.stated, self._server, flaw))
        except NotReadable as error:
            return [Unmappable(error.reason, str(error), payload.locator, payload.body)]
        except RecursionError:
            return [Unmappable("nested_too_deep", "it is nested too deep", payload.locator, payload.body)]
        return items

    def explain(self, payload: Payload) -> Explanation:
        """What one resource or Bundle says, and what in it nothing reads."""
        items = self.read(payload)
        try:
            resource, _ = decode_in_part(payload.body)
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
        around = reference.within(entries, source.around, self.settings, _day(source.received))
        inside = source._replace(body=b"", around=around)
        return [item for index, entry in enumerate(entries) for item in self._entry(entry, f"{source.locator}#entry[{index}]", inside)]

    def _entry(self, entry: Any, locator: str, source: _Source) -> list[Item]:
        resource = entry.get("resource") if type(entry) is dict else None
        search = entry.get("search") if type(entry) is dict else None
        if type(search) is dict and search.get("mode") == "outcome":
            return [Filtered("search_outcome", locator)]
        if type(resource) is not dict:
            return [Filtered("entry_without_resource", locator)]
        within = source._replace(locator=locator)
        if not isinstance(resource.get("resourceType"), str):
            return [_unmappable("not_fhir", "the entry's resource has no resourceType", within, resource)]
        return self.resource(resource, within)

    def _patient(self, resource: dict[str, Any], source: _Source) -> list[Item]:
        today = _day(source.received)
        identifiers, others = identity.identifiers(resource, self.settings, today)
        if not identifiers:
            detail = "the Patient has no id (string) and no active identifier with the system and value that the source uses"
            came = identity.came(resource, self.settings, today)
            return [_nobody("patient_id_missing", f"{detail}{came}", source, resource)]
        several = [Problem(SEVERAL_OWN, "Patient.identifier", SEVERAL_OWN_DETAIL)] if others else []
        problems = self._not_understood("Patient", resource, self._may_refuse("Patient", DECEASED, RESTRICTED))
        if problems:
            said = self._said(resource, identifiers, {}, source, [*problems, *several])
            return [said, *for_others(said, others)]
        codes: Read = {}
        stated, withheld = self._patient_states(resource, source, problems, codes)
        said = self._said(resource, identifiers, stated, source, problems + several, restricted=withheld, codes=codes)
        if ahead := patient.later(resource, self.settings.default_region, today, self._tables, restricted=withheld):
            said = replace(said, later=ahead)
        items: list[Item] = self._linked(resource, said, source) if "link" in resource else [said]
        return [*items, *for_others(said, others)] if others else items

    def _patient_states(self, resource: dict[str, Any], source: _Source, problems: list[Problem], codes: Read) -> tuple[Stated, bool]:
        """The statements, and whether something was withheld: what is missing then takes nothing back."""
        region, rules = self.settings.default_region, self.rules.get("Patient", ())
        ruled = apply_rules(rules, resource, region, problems, codes)
        if source.flaw:
            leave_out_illegible(ruled, rules, resource, problems)
        restricted = ruled.get(RESTRICTED) or patient.restriction(resource, problems)
        is_restricted = restricted is not None and restricted.value is True
        withheld = is_restricted or patient.is_part(resource) or any(one.attribute == RESTRICTED for one in problems)
        if withheld:
            for attribute in [name for name, one in ruled.items() if one.value is None]:
                del ruled[attribute]
                if attribute in codes and not codes[attribute].found:
                    del codes[attribute]  # nor does it say that there is no code
        today = _day(source.received)
        stated = patient.statements(
            resource,
            self.settings,
            today,
            problems,
            self._tables,
            self._languages,
            restricted=withheld,
            preferred_by=self.preferred_by,
        )
        denied = {name: one for name, one in stated.items() if one.value == DENIED}
        phones = stated[PHONES].value or () if PHONES in stated else ()
        if restricted is not None:
            stated[RESTRICTED] = restricted
        stated |= with_texts(ruled, phones, region, self._languages, problems) | denied
        return stated, withheld

    def _may_refuse(self, kind: str, *others: str) -> list[str]:
        """The attributes that a resource of the kind may refuse contact by."""
        ruled = [base(rule.attribute) for rule in self.rules.get(kind, ())]
        return list(dict.fromkeys([*(name for name in ruled if opt_out(name) is not None), *others]))

    def _not_understood(self, kind: str, resource: dict[str, Any], attributes: Sequence[str]) -> list[Problem]:
        paths = not_understood(resource, kind, self._understood.get(kind) or frozenset(self.options.understood))
        return [Problem(modifiers.REASON, paths[0], modifiers.DETAIL, attribute) for attribute in attributes] if paths else []

    def _linked(self, resource: dict[str, Any], said: PatientStatements, source: _Source) -> list[Item]:
        """The statements, and the merges that the links state. Of a record merged away only its refusals are kept.

        Where times are not trusted they are set long ago: read again with every run, they must not pass for news of the survivor.
        """
        problems = list(said.problems)
        named = bound(self._named, resource=resource, source=source)
        merges = list(link.merges(resource, said, named, self._understood.get("Patient") or frozenset(self.options.understood), problems))
        stated, effective = dict(said.statements), said.effective
        if any(set(merge.merged) == set(said.identifiers) for merge in merges):
            stated, said = link.opt_outs(stated), replace(said, codes={}, later=())
            effective = effective if self.options.trust_last_updated else LONG_AGO
            if not stated and not problems:
                return list(merges)
        return [replace(said, statements=stated, effective=effective, problems=tuple(problems)), *merges]

    def _named(self, value: Any, resource: dict[str, Any], source: _Source) -> tuple[Identifier, ...]:
        return reference.patient(value, self.settings, source.around, resource, _day(source.received))

    def _record(self, kind: str, resource: dict[str, Any], source: _Source) -> Item:
        """A Consent or a Flag."""
        rules, options = self.rules.get(kind, ()), self.options.consent
        is_about = kind != "Consent" or consent_flag.is_about_messages(resource, options)
        hidden = consent_flag.subject_withheld(kind, resource, options) if rules else ""
        if not rules or not (is_about or hidden):
            return Filtered(f"{kind.lower()}_not_configured", source.locator)
        when = When(source.received, self._zone)
        found, ahead = self._standing(kind, resource, when), turns(resource, when)
        if found is RecordStatus.NOT_YET and all(
            self._standing(kind, resource, When(one, self._zone)) is RecordStatus.NOT_YET for one in ahead
        ):
            return Filtered(f"{kind.lower()}_not_in_force", source.locator)
        speaks = [rule for rule in rules if rule.attribute == options.attribute or self._says(rule, resource)]
        if hidden and not (is_about and speaks):
            if found is RecordStatus.ENDED:
                return Filtered(f"{kind.lower()}_not_configured", source.locator)
            problems = [Problem(absent.REASON, hidden, absent.DETAIL, base(one.attribute)) for one in rules]
            return self._about(kind, resource, {}, (), found, source, problems)
        problems = self._not_understood(kind, resource, [base(rule.attribute) for rule in speaks])
        if found is RecordStatus.UNREADABLE and not problems:
            problems = [Problem("status_unknown", f"{kind}.status", "unknown status", base(one.attribute)) for one in speaks]
        is_read = not problems
        ruled = self._ruled(kind, resource, found, when, source, problems) if is_read else {}
        if len(ahead) > MOST and is_read:
            problems += [
                Problem("too_many_periods", f"{kind}.period", f"more than {MOST} start or end", base(one.attribute)) for one in speaks
            ]
            ahead = []
        later = self._later(kind, resource, ruled, ahead, source, problems) if is_read and ahead else ()
        if patient.is_part(resource):  # what it lacks may refuse
            ruled, later = link.opt_outs(ruled), tuple(one for one in later if is_opt_out(one.attribute, one.value))
        if not ruled and not later and not problems:
            reason = "not_in_force" if found is RecordStatus.NOT_YET else "not_configured"
            return Filtered(f"{kind.lower()}_{reason}", source.locator)
        return self._about(kind, resource, ruled, later, found, source, problems)

    def _standing(self, kind: str, resource: dict[str, Any], when: When) -> RecordStatus:
        if kind == "Consent":
            return consent_flag.consent_standing(resource, self.options.consent, when)
        return consent_flag.flag_standing(resource, when)

    def _later(
        self, kind: str, resource: dict[str, Any], ruled: Stated, ahead: Sequence[datetime], source: _Source, problems: list[Problem]
    ) -> tuple[Later, ...]:
        """What a Consent or Flag will state, at each moment at which a period of it begins or ends, where that is something else."""
        found: list[Later] = []
        before = with_texts(ruled, (), self.settings.default_region, self._languages, [])
        for turn in ahead:
            when, unread = When(turn, self._zone), list[Problem]()
            then = self._ruled(kind, resource, self._standing(kind, resource, when), when, source, unread)
            then = with_texts(then, (), self.settings.default_region, self._languages, unread)
            for attribute in {**before, **then}:
                is_now, was = then.get(attribute), before.get(attribute)
                value = is_now.value if is_now is not None else None
                if value != (was.value if was is not None else None):
                    path = is_now.path if is_now is not None and value is not None else f"{kind}.period"
                    found.append(Later(attribute, turn, value, path))
            problems += [one for one in unread if one.reason != PERIOD_UNREADABLE and one not in problems]
            before = then
        return tuple(found)

    def _ruled(
        self, kind: str, resource: dict[str, Any], found: RecordStatus, when: When, source: _Source, problems: list[Problem]
    ) -> Stated:
        """What a Consent or Flag states at a moment, whose status is known."""
        rules, options = self.rules[kind], self.options.consent
        if found is RecordStatus.NOT_YET:
            return {}
        if found not in (RecordStatus.IN_FORCE, RecordStatus.DOUBTFUL):
            attributes = [rule.attribute for rule in rules if rule.attribute == options.attribute or self._is_read(rule, resource)]
            return consent_flag.out_of_force(attributes, found, f"{kind}.status")
        counted = consent_flag.counting(resource, when, self._understood[kind]) if kind == "Consent" else resource
        ruled = apply_rules(rules, counted, self.settings.default_region, problems, {})
        if source.flaw:
            leave_out_illegible(ruled, rules, resource, problems)
        if found is RecordStatus.IN_FORCE:
            return ruled
        detail = "its end cannot be determined: permissions in it are ignored"
        problems += [
            Problem(PERIOD_UNREADABLE, f"{kind}.period", detail, name) for name, one in ruled.items() if not is_opt_out(name, one.value)
        ]
        return {name: one for name, one in ruled.items() if is_opt_out(name, one.value)}

    @staticmethod
    def _says(rule: Rule, resource: dict[str, Any]) -> bool:
        """Whether a rule finds something here, be it readable or not."""
        return rule.apply(resource) is not None

    @staticmethod
    def _is_read(rule: Rule, resource: dict[str, Any]) -> bool:
        return isinstance(rule.apply(resource), Statement)

    def _about(
        self,
        kind: str,
        resource: dict[str, Any],
        ruled: Stated,
        later: tuple[Later, ...],
        found: RecordStatus,
        source: _Source,
        problems: list[Problem],
    ) -> Item:
        """The statements of a Consent or Flag about the patient it refers to."""
        named = resource.get("patient") or resource.get("subject")
        target = named.get("reference") if type(named) is dict else None
        identifiers = self._named(named, resource, source)
        if not identifiers and isinstance(target, str) and target.partition("/")[0] in ("Group", "Location", "Organization"):
            return Filtered("subject_not_patient", source.locator)
        if not identifiers:
            return _nobody("patient_reference_missing", f"{kind} does not refer to a patient on this server", source, resource)
        stated = with_texts(ruled, (), self.settings.default_region, self._languages, problems)
        said = [(name, one.value) for name, one in stated.items()]
        said += [(one.attribute, one.value) for one in later if one.value is not None]
        allowed = [bool(value) and not is_opt_out(name, value) for name, value in said]
        permits = _Permits.ONLY if allowed and all(allowed) and not problems else _Permits.IN_PART if any(allowed) else _Permits.NOTHING
        asserted = self._asserted(kind, resource, found, permits, source, problems)
        return replace(self._said(resource, identifiers, stated, source, problems, asserted=asserted), later=later)

    def _asserted(
        self, kind: str, resource: dict[str, Any], found: RecordStatus, permits: _Permits, source: _Source, problems: list[Problem]
    ) -> tuple[Time, str] | None:
        """When a Consent was given, where it only permits.

        Everything else counts from the record's last change, since a record is edited in place and keeps its date; and an end from when
        it came, a refusal from when it was given, if that is later. What it permits beside something else may be as old as its date.
        """
        meta = resource.get("meta")
        updated = self._time(meta.get("lastUpdated")) if type(meta) is dict and self.options.trust_last_updated else None
        given, path = self._given(resource, updated or source.undated, problems) if kind == "Consent" else None, DATED
        if given and permits is _Permits.ONLY:
            return given, path
        if found is RecordStatus.ENDED:
            given, path = self._time(consent_flag.period(resource).get("end")), f"{kind}.period.end"
        if given and updated and given.is_after(updated):
            return given, path
        if given and permits is _Permits.IN_PART:
            changed = updated or source.undated
            return Time(min(given.earliest, changed.earliest), changed.latest), path
        return None

    def _given(self, consent: dict[str, Any], changed: Time, problems: list[Problem]) -> Time | None:
        """The date of a Consent; where it cannot be read, any moment until it last ``changed``."""
        written = next((consent[name] for name in ("dateTime", "date") if consent.get(name) is not None), None)
        given = self._time(written)
        if given is not None or written is None:
            return given
        problems.append(Problem("time_unreadable", DATED, "it is not a dateTime; only refusals apply"))
        return times.unknown(changed.latest)

    def _time(self, value: Any) -> Time | None:
        return iso_time.read(value, self._zone) if isinstance(value, str) else None

    def _last_updated(self, kind: str, written: Any, source: _Source, problems: list[Problem]) -> Time:
        """When the server says that a resource last changed; when it came, where its times are not trusted."""
        if written is None or not self.options.trust_last_updated:
            return source.undated
        found = self._time(written)
        if found is None:
            problems.append(Problem("time_unreadable", f"{kind}.meta.lastUpdated", "it is not an instant; only refusals apply"))
            return times.unknown(source.undated.latest)
        return found

    def _said(
        self,
        resource: dict[str, Any],
        identifiers: tuple[Identifier, ...],
        stated: Stated,
        source: _Source,
        problems: list[Problem],
        *,
        restricted: bool = False,
        codes: Read | None = None,
        asserted: tuple[Time, str] | None = None,
    ) -> PatientStatements:
        meta = resource.get("meta")
        meta = meta if type(meta) is dict else {}
        kind, version = resource["resourceType"], meta.get("versionId")
        updated = f"{kind}.meta.lastUpdated"
        effective, path = asserted or (self._last_updated(kind, meta.get("lastUpdated"), source, problems), updated)
        if times.is_ahead(effective, source.received):
            problems.append(Problem("time_in_future", path, "the server's clock or ours is wrong; only refusals apply"))
        return PatientStatements(
            identifiers,
            stated,
            effective,
            _evidence(kind, _name(kind, resource), version),
            int(version) if isinstance(version, str) and version.isascii() and version.isdigit() and len(version) < 16 else 0,
            restricted,
            tuple(problems),
            source.locator,
            codes or {},
            self.mapping,
        )


def _evidence(kind: str, name: Any, version: Any) -> str:
    """``Patient/<id>/_history/<version>``, as far as the resource says."""
    made = f"{kind}/{name}" if isinstance(name, str) and name else kind
    return f"{made}/_history/{version}" if isinstance(version, str) and version else made


def _name(kind: str, resource: dict[str, Any]) -> Any:
    """The id of a resource. Of Consents and Flags a patient has several: one without an id is known by what it is about.

    Its status and when it was written do not count, so that its end is known as its own.
    """
    name = resource.get("id")
    if kind not in ("Consent", "Flag") or (isinstance(name, str) and name):
        return name
    content = {element: resource[element] for element in sorted(resource) if element not in ("id", "meta", "status", "text")}
    return f"#{blake2b(encode(content), digest_size=8).hexdigest()}"


def _is_of_consent(item: Item) -> TypeGuard[PatientStatements]:
    return isinstance(item, PatientStatements) and item.evidence_id.startswith("Consent")


def _nobody(reason: str, detail: str, source: _Source, resource: Any) -> Unmappable:
    """A record that cannot be told whom it is about; where it is illegible, for that reason."""
    if source.flaw:
        reason, detail = source.flaw.reason, str(source.flaw)
    return _unmappable(reason, detail, source, resource)


def _unmappable(reason: str, detail: str, source: _Source, resource: Any) -> Unmappable:
    return Unmappable(reason, detail, source.locator, source.body or encode(resource))


@lru_cache(maxsize=64)
def _iso(year: int, month: int, day: int) -> str:
    return f"{year:04d}-{month:02d}-{day:02d}"


def _day(received: datetime) -> str:
    return _iso(received.year, received.month, received.day)
