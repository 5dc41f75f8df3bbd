"""Maps a Consent or Flag to statements about its patient: now, and when its periods start and end. Pure.

Which records are in force, and what they decide, is in ``adapters.fhir.consent_flag``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from enum import Enum
from typing import Any

from adapters.base import Filtered, Item
from adapters.fhir import absent, consent_flag, link, modifiers, patient
from adapters.fhir.periods import MOST, RecordStatus, When, change_times
from adapters.fhir.resource import ResourceSource, SourceMapping
from adapters.fhir.site_rules import apply_rules, leave_out_illegible
from adapters.mapping.language import Languages
from adapters.mapping.partial import Stated
from adapters.mapping.rules import Rule
from adapters.mapping.texts import with_texts
from store import times
from store.preference import Later, Problem, Statement, base, is_opt_out
from store.times import Time

DATED, PERIOD_UNREADABLE = "Consent.dateTime", "period_unreadable"


class _Permits(Enum):
    """How much of what a record states permits contact. ``ONLY``: all of it, and all can be read."""

    ONLY = "only"
    IN_PART = "in part"
    NOTHING = "nothing"


class ConsentFlagMapper:
    """Maps the Consents and Flags of one source."""

    def __init__(self, mapping: SourceMapping) -> None:
        self.mapping, self._consent = mapping, mapping.options.consent
        self._region, self._languages = mapping.settings.default_region, Languages(mapping.settings.languages)

    def item(self, kind: str, resource: dict[str, Any], source: ResourceSource) -> Item:
        """The item of a Consent or Flag."""
        rules, options = self.mapping.rules.get(kind, ()), self._consent
        is_about = kind != "Consent" or consent_flag.is_about_messages(resource, options)
        hidden = consent_flag.subject_withheld(kind, resource, options) if rules else ""
        if not rules or not (is_about or hidden):
            return Filtered(f"{kind.lower()}_not_configured", source.locator)
        when = When(source.received, self.mapping.zone)
        status, changes = self._status(kind, resource, when), change_times(resource, when)
        if status is RecordStatus.NOT_YET and all(self._status(kind, resource, when._replace(at=one)) is status for one in changes):
            return Filtered(f"{kind.lower()}_not_in_force", source.locator)
        matching = self._matching_rules(kind, resource)
        if hidden and not (is_about and matching):
            if status is RecordStatus.ENDED:
                return Filtered(f"{kind.lower()}_not_configured", source.locator)
            problems = [Problem(absent.REASON, hidden, absent.DETAIL, base(one.attribute)) for one in rules]
            return self._statements(kind, resource, {}, (), status, source, problems)
        is_read = status is not RecordStatus.UNREADABLE
        problems = [] if is_read else _problems("status_unknown", f"{kind}.status", "unknown status", matching)
        ruled = self._stated_by_rules(kind, resource, status, when, source, problems) if is_read else {}
        if len(changes) > MOST and is_read:
            problems += _problems("too_many_periods", f"{kind}.period", f"it has more than {MOST} starts and ends", matching)
            changes = []
        later = self._later(kind, resource, ruled, changes, source, problems) if is_read and changes else ()
        if patient.is_incomplete(resource):  # the omitted part may refuse
            ruled, later = link.opt_outs(ruled), tuple(one for one in later if is_opt_out(one.attribute, one.value))
        if not ruled and not later and not problems:
            reason = "not_in_force" if status is RecordStatus.NOT_YET else "not_configured"
            return Filtered(f"{kind.lower()}_{reason}", source.locator)
        return self._statements(kind, resource, ruled, later, status, source, problems)

    def _matching_rules(self, kind: str, resource: dict[str, Any]) -> list[Rule]:
        """The rules that find something in the resource, readable or not."""
        rules = self.mapping.rules[kind]
        return [rule for rule in rules if rule.attribute == self._consent.attribute or rule.apply(resource) is not None]

    def _status(self, kind: str, resource: dict[str, Any], when: When) -> RecordStatus:
        if kind == "Consent":
            return consent_flag.consent_status(resource, self._consent, when)
        return consent_flag.flag_status(resource, when)

    def _later(
        self,
        kind: str,
        resource: dict[str, Any],
        ruled: Stated,
        changes: Sequence[datetime],
        source: ResourceSource,
        problems: list[Problem],
    ) -> tuple[Later, ...]:
        """What a Consent or Flag will state, at each moment when a period of it starts or ends and its statements change."""
        found: list[Later] = []
        before = with_texts(ruled, (), self._region, self._languages, [])
        for moment in changes:
            when, unread = When(moment, self.mapping.zone), list[Problem]()
            stated_later = self._stated_by_rules(kind, resource, self._status(kind, resource, when), when, source, unread)
            stated_later = with_texts(stated_later, (), self._region, self._languages, unread)
            found += _differences(before, stated_later, moment, f"{kind}.period")
            problems += [one for one in unread if one.reason != PERIOD_UNREADABLE and one not in problems]
            before = stated_later
        return tuple(found)

    def _stated_by_rules(
        self, kind: str, resource: dict[str, Any], status: RecordStatus, when: When, source: ResourceSource, problems: list[Problem]
    ) -> Stated:
        """What a Consent or Flag with this status states at a moment."""
        rules = self.mapping.rules[kind]
        if status is RecordStatus.NOT_YET:
            return {}
        if status in (RecordStatus.IN_FORCE, RecordStatus.DOUBTFUL):
            if kind == "Consent":
                resource = consent_flag.with_active_provisions(resource, when, self.mapping.understood[kind])
            ruled = apply_rules(rules, resource, self._region, problems, {})
            if source.flaw:
                leave_out_illegible(ruled, rules, resource, problems)
        else:
            read = [rule.attribute for rule in rules if rule.attribute == self._consent.attribute or _reads(rule, resource)]
            ruled = consent_flag.out_of_force(read, status, f"{kind}.status")
        permitted = [name for name, one in ruled.items() if not is_opt_out(name, one.value)]
        if modified := self.mapping.not_understood(kind, resource, source):
            problems += _problems(modifiers.REASON, modified[0], modifiers.DETAIL, self._matching_rules(kind, resource))
        elif status is RecordStatus.DOUBTFUL:
            detail = "its end cannot be determined: permissions in it are ignored"
            problems += [Problem(PERIOD_UNREADABLE, f"{kind}.period", detail, name) for name in permitted]
        else:
            return ruled
        return {name: one for name, one in ruled.items() if name not in permitted}

    def _statements(
        self,
        kind: str,
        resource: dict[str, Any],
        ruled: Stated,
        later: tuple[Later, ...],
        status: RecordStatus,
        source: ResourceSource,
        problems: list[Problem],
    ) -> Item:
        """The statements of a Consent or Flag about the patient it refers to."""
        subject = resource.get("patient") or resource.get("subject")
        target = subject.get("reference") if type(subject) is dict else None
        identifiers = self.mapping.patient(subject, resource, source)
        if not identifiers and isinstance(target, str) and target.partition("/")[0] in ("Group", "Location", "Organization"):
            return Filtered("subject_not_patient", source.locator)
        if not identifiers:
            return source.without_patient("patient_reference_missing", f"{kind} does not refer to a patient on this server", resource)
        stated = with_texts(ruled, (), self._region, self._languages, problems)
        asserted = self._effective(kind, resource, status, _permits(stated, later, problems), source, problems)
        item = self.mapping.statements(resource, identifiers, stated, source, problems, asserted=asserted)
        return replace(item, later=later, may_be_echo=consent_flag.is_written_by_us(resource))

    def _effective(
        self, kind: str, resource: dict[str, Any], status: RecordStatus, permits: _Permits, source: ResourceSource, problems: list[Problem]
    ) -> tuple[Time, str] | None:
        """The date of a Consent that only permits, and its path; ``None`` if the time of the last change counts.

        Anything else counts from the record's last change, because a record is edited in place and keeps its date. An end counts from its
        own date, and a refusal from when it was given, if that is later. If it only partly permits, its time may be as old as its date.
        """
        meta = resource.get("meta")
        updated = self.mapping.time(meta.get("lastUpdated")) if type(meta) is dict and self.mapping.options.trust_last_updated else None
        changed = updated or source.undated
        dated, path = self._dated(resource, changed, problems) if kind == "Consent" else None, DATED
        if dated and permits is _Permits.ONLY:
            return dated, path
        if status is RecordStatus.ENDED:
            dated, path = self.mapping.time(consent_flag.period(resource).get("end")), f"{kind}.period.end"
        if dated and updated and dated.is_after(updated):
            return dated, path
        if dated and permits is _Permits.IN_PART:
            return Time(min(dated.earliest, changed.earliest), changed.latest), path
        return None

    def _dated(self, consent: dict[str, Any], changed: Time, problems: list[Problem]) -> Time | None:
        """The date of a Consent; if it cannot be read, any moment until it last ``changed``."""
        written = next((consent[name] for name in ("dateTime", "date") if consent.get(name) is not None), None)
        dated = self.mapping.time(written)
        if dated is not None or written is None:
            return dated
        problems.append(Problem("time_unreadable", DATED, "it is not a dateTime; only refusals apply"))
        return times.unknown(changed.latest)


def _problems(reason: str, path: str, detail: str, rules: Sequence[Rule]) -> list[Problem]:
    return [Problem(reason, path, detail, base(rule.attribute)) for rule in rules]


def _reads(rule: Rule, resource: dict[str, Any]) -> bool:
    """Whether a rule finds a readable value."""
    return isinstance(rule.apply(resource), Statement)


def _differences(before: Stated, stated_later: Stated, moment: datetime, period: str) -> list[Later]:
    """What is stated differently from ``moment`` on. ``period``: the path for what is no longer stated."""
    found = []
    for attribute in {**before, **stated_later}:
        new, old = stated_later.get(attribute), before.get(attribute)
        value = new.value if new is not None else None
        if value != (old.value if old is not None else None):
            found.append(Later(attribute, moment, value, new.path if new is not None and value is not None else period))
    return found


def _permits(stated: Stated, later: Sequence[Later], problems: Sequence[Problem]) -> _Permits:
    values = [(name, one.value) for name, one in stated.items()]
    values += [(one.attribute, one.value) for one in later if one.value is not None]
    permitted = [bool(value) and not is_opt_out(name, value) for name, value in values]
    if permitted and all(permitted) and not problems:
        return _Permits.ONLY
    return _Permits.IN_PART if any(permitted) else _Permits.NOTHING
