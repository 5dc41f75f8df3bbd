"""Reads patients: one with everything for a facesheet, many with just what decisions need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection

from store.db.database import Database
from store.domain import assertions, documents, effective
from store.domain.contact import ContactPreferences
from store.domain.decision_request import KnownPatient, no_evidence
from store.domain.documents import instant, interval
from store.domain.enterprise import Enterprise
from store.domain.identifiers import LOOKUP
from store.domain.ids import parsed, shown
from store.domain.lock import SourceMark
from store.domain.opt_out_binding import in_force
from store.domain.patient import Patient, PatientRef, UnreadAttribute
from store.domain.patient_at import DatedPatient
from store.domain.phone_numbers import numbers_in_force
from store.domain.sms_consent import OptOut, active
from store.errors import IdentifierAmbiguous, PatientUnknown, StoreError
from store.patients import patient_state, refusal_rows
from store.patients.freshness import Freshness
from store.patients.period_rows import of
from store.preference import EMR, Assertion, Identifier, Preference

BY_VALUE = """SELECT i.value, i.authority, i.type, p.id, p.version, p.basis, p.sources, p.contact, p.provenance, i.kind, p.due
 FROM identifiers i JOIN patients p ON p.id = i.patient_id WHERE i.enterprise = ? AND i.value IN ??"""
BY_ID = """SELECT '', '', '', p.id, p.version, p.basis, p.sources, p.contact, p.provenance, p.merged_into, p.due
 FROM patients p WHERE p.enterprise = ? AND p.id IN ??"""
UPDATED = "SELECT id, updated FROM patients WHERE id IN ??"
SMS_CONSENT = """SELECT number, NULL, words FROM sms_words WHERE enterprise = ? AND number IN ??
 UNION ALL SELECT '', patient_id, words FROM sms_bindings WHERE patient_id IN ?? AND until IS NULL
 UNION ALL SELECT '', ph.patient_id, w.words FROM patient_phones ph
 JOIN sms_words w ON w.enterprise = ph.enterprise AND w.number = ph.number WHERE ph.patient_id IN ?? AND ph.in_force = 0"""
"""SMS consent of numbers; that binds patients; and of numbers that only a source lists whose phones are not in force."""
ASSERTIONS = (
    "SELECT patient_id, authority, assertions, effective, confirmed, since, last_heard, unreadable, effective_latest, confirmed_latest,"
    " codes FROM assertions WHERE patient_id IN ??"
)
IDENTIFIERS = "SELECT DISTINCT authority, type, value FROM identifiers WHERE patient_id = ? ORDER BY authority, type, value"
KINDS = "SELECT patient_id, kind, authority, type, value FROM identifiers WHERE patient_id IN ??"
SHARED = "SELECT number, count(*) FROM patient_phones WHERE enterprise = ? AND number IN ?? GROUP BY number"


class PatientReader:
    """Reads inside a connection that the caller opened."""

    def __init__(self, database: Database, connection: Connection, enterprise: Enterprise) -> None:
        self.database, self.connection, self.enterprise = database, connection, enterprise

    def rows(self, refs: Sequence[PatientRef]) -> list[Any]:
        """For each ref its patient's row, or the :class:`StoreError` that says why there is none."""
        ids = [number for ref in refs if ref.id is not None and (number := parsed(ref.id)) is not None]
        values = list({ref.value for ref in refs if ref.value is not None and "\0" not in ref.value})  # PostgreSQL's text has no NUL
        by_id = self._by_id(ids) if ids else {}
        by_value: dict[str, list[Any]] = {}
        for row in self._select(BY_VALUE, [self.enterprise.name, values]) if values else ():
            by_value.setdefault(row[0], []).append(row)
        return [_chosen(ref, by_id, by_value) for ref in refs]

    def _by_id(self, ids: list[int]) -> dict[int, Any]:
        """Rows by the id asked for. A merged patient's id keeps answering with its survivor."""
        rows = {row[3]: row for row in self._select(BY_ID, [self.enterprise.name, ids])}
        merged = {number: row[9] for number, row in rows.items() if row[9] is not None}
        if merged:
            survivors = self._by_id(list(set(merged.values())))
            rows |= {number: survivors[survivor] for number, survivor in merged.items()}
        return rows

    def contacts(self, rows: Iterable[Any]) -> dict[int, ContactPreferences]:
        """The preferences in force, by patient; computed again if they were stored under another configuration."""
        basis, read_contact = self.enterprise.basis, documents.read_contact
        found: dict[int, ContactPreferences] = {}
        outdated: dict[int, dict[str, assertions.SourceAssertions]] = {}
        for row in rows:
            if row[5] == basis:
                found[row[3]] = read_contact(row[7])
            else:
                outdated[row[3]] = {}
        if outdated:
            for row in self._select(ASSERTIONS, [list(outdated)]):
                outdated[row[0]][row[1]] = _held(row)
        return found | {patient: self._contact(asserted) for patient, asserted in outdated.items()}

    def _contact(self, asserted: Mapping[str, assertions.SourceAssertions]) -> ContactPreferences:
        in_force = effective.in_force({authority: one.current() for authority, one in asserted.items()}, self.enterprise)
        return effective.contact(in_force, effective.unread(asserted, self.enterprise))

    def _dated(self, patients: list[int]) -> dict[int, DatedPatient]:
        """Patients with future statements, and the assertions of every authority.

        A statement whose period begins moves from the future ones to the assertions. It may do so between two queries, so the assertions
        are read last: it is then found twice, never not at all.
        """
        if not patients:
            return {}
        future = of(self.database, self.connection, patients)
        refusals = refusal_rows.of(self.database, self.connection, patients)
        asserted: dict[int, dict[str, assertions.SourceAssertions]] = {number: {} for number in patients}
        for row in self._select(ASSERTIONS, [patients]):
            asserted[row[0]][row[1]] = _held(row)
        lineages = patient_state.lineages(self.database, self.connection, patients)
        joined = {number: one.joined for number, one in lineages.items()}
        return {
            number: DatedPatient(
                asserted[number], tuple(future.get(number, ())), self.enterprise, tuple(refusals.get(number, ())), joined.get(number)
            )
            for number in patients
        }

    def opt_outs(self, contacts: Mapping[int, ContactPreferences]) -> dict[int, tuple[OptOut, ...]]:
        """Patient -> the opt-outs in force: of their numbers, and those that bind the patient. Patients without any are missing."""
        on_file = {patient: numbers_in_force(contact) for patient, contact in contacts.items()}
        numbers = list({number for one in on_file.values() for number in one})
        by_number: dict[str, tuple[OptOut, ...]] = {}
        bound: dict[int, list[OptOut]] = {}
        patients = list(contacts)
        for number, patient, text in self._select(SMS_CONSENT, [self.enterprise.name, numbers, patients, patients]) if patients else ():
            in_text = active(documents.read_consent_events(text))
            if patient is None:
                by_number[number] = in_text
            else:
                bound.setdefault(patient, []).extend(in_text)
        if not by_number and not bound:
            return {}
        found = {}
        for patient, own in on_file.items():
            of_numbers = [one for number in own for one in by_number.get(number, ())]
            if of_numbers or patient in bound:
                found[patient] = in_force(of_numbers, bound.get(patient, ()))
        return found

    def in_force(self, patients: list[int]) -> dict[int, dict[str, Preference]]:
        """The values in force of many patients, as they were last written."""
        asserted: dict[int, dict[str, Mapping[str, Assertion]]] = {number: {} for number in patients}
        for row in self._select(ASSERTIONS, [patients]):
            asserted[row[0]][row[1]] = _held(row).current()
        return {number: effective.in_force(by_authority, self.enterprise) for number, by_authority in asserted.items()}

    def identifiers(self, patients: list[int]) -> dict[int, tuple[Identifier, ...]]:
        """The identifiers of many patients, those that decide whom a payload is about first."""
        found: dict[int, dict[Identifier, None]] = {number: {} for number in patients}
        for patient, _, *one in sorted(self._select(KINDS, [patients]), key=lambda row: (row[1] == LOOKUP, row)):
            found[patient][Identifier(*one)] = None
        return {number: tuple(ones) for number, ones in found.items()}

    def asserted(self, patient: int) -> list[tuple[str, assertions.SourceAssertions, SourceMark]]:
        """What each authority asserts about one patient, and its mark; by authority."""
        found: list[tuple[str, assertions.SourceAssertions, SourceMark]] = []
        for row in sorted(self._select(ASSERTIONS, [[patient]]), key=itemgetter(1)):
            asserted, authority, last_received = _held(row), row[1], instant(row[6])
            asserted = replace(asserted, assertions=asserted.current(), effective=asserted.confirmed)
            found.append(
                (
                    authority,
                    asserted,
                    SourceMark(authority.removeprefix(EMR), asserted.since, last_received, frozenset(asserted.assertions)),
                )
            )
        return found

    def patient(self, ref: PatientRef, now: datetime | None = None) -> Patient:
        """One patient with everything, as of ``now`` where a period begins or ends; without it, as it was last written.

        Raises :class:`PatientUnknown` or :class:`IdentifierAmbiguous`.
        """
        row = self.rows([ref])[0]
        if isinstance(row, StoreError):
            raise row
        number = row[3]
        asserted = self.asserted(number)
        by_authority = {authority: one for authority, one, _ in asserted}
        if now is not None and _is_due(row, now):
            by_authority = self._dated([number])[number].assertions_at(now, now)
        in_force = effective.in_force({authority: one.assertions for authority, one in by_authority.items()}, self.enterprise)
        contact = effective.contact(in_force, effective.unread(by_authority, self.enterprise))
        numbers = [phone.number for phone in contact.phones]
        return Patient(
            shown(number),
            row[4],
            self.enterprise.name,
            tuple(Identifier(*one) for one in self._select(IDENTIFIERS, [number])),
            tuple(mark for authority, _, mark in asserted if authority.startswith(EMR)),
            in_force,
            contact,
            self.opt_outs({number: contact}).get(number, ()),
            self._updated([number])[number],
            dict(self._select(SHARED, [self.enterprise.name, numbers])) if numbers else {},
            tuple(
                UnreadAttribute(name, authority.removeprefix(EMR), mark.effective, mark.reason)
                for authority, one, _ in asserted
                for name, mark in sorted(one.unreadable.items())
                if name in contact.unreadable
            ),
        )

    def known(self, refs: Sequence[PatientRef], freshness: Freshness, now: datetime) -> list[KnownPatient | StoreError]:
        """What decisions need, in the order of the refs.

        Evidence stored under another configuration may explain another value: it is left out.
        """
        rows = self.rows(refs)
        there = {row[3]: row for row in rows if type(row) is tuple}
        contacts = self.contacts(there.values())
        opt_outs = self.opt_outs(contacts)
        age, basis = freshness.ages(self.enterprise, now), self.enterprise.basis
        ages = {sources: age(sources) for sources in {row[6] for row in there.values()}}
        never_received = [number for number, row in there.items() if ages[row[6]].as_of is None]
        updated = self._updated(never_received) if never_received else {}
        found: dict[int, KnownPatient] = {}
        dated = self._dated([number for number, row in there.items() if row[10] is not None])
        for number, row in there.items():
            contact, (as_of, stale) = contacts[number], ages[row[6]]
            evidence = documents.Provenance(row[8]) if row[5] == basis else no_evidence
            found[number] = KnownPatient(
                shown(number), row[4], contact, opt_outs.get(number, ()), as_of or updated[number], stale, evidence
            )
            if number in dated:
                found[number] = dated[number].known(found[number], instant(row[10]), now)
        return [found[row[3]] if type(row) is tuple else row for row in rows]

    def _updated(self, patients: list[int]) -> dict[int, datetime]:
        """When patients were written last. A query of its own: the driver takes longer to read a time than the rest of a row."""
        return {number: instant(at) for number, at in self._select(UPDATED, [patients])}

    def _select(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        return self.database.select(self.connection, sql, parameters)


def _is_due(row: Any, now: datetime) -> bool:
    return row[10] is not None and instant(row[10]) <= now


def _held(row: Any) -> assertions.SourceAssertions:
    """What one authority asserts, from a row of :data:`ASSERTIONS`."""
    _, _, text, effective, confirmed, since, _, marks, latest, confirmed_latest, codes = row
    stated = interval(effective, latest), interval(confirmed, confirmed_latest)
    return assertions.SourceAssertions(documents.read_assertions(text), *stated, "", instant(since), documents.read_marks(marks), codes)


def _chosen(ref: PatientRef, by_id: Mapping[int, Any], by_value: Mapping[str, list[Any]]) -> Any:
    if ref.id is not None:
        number = parsed(ref.id)
        return by_id.get(number) or _unknown() if number is not None else _unknown()
    fitting = [row for row in by_value.get(ref.value or "", ()) if names(ref, row[1], row[2])]
    if len(fitting) == 1:
        return fitting[0]
    deciding = [row for row in fitting if row[9] != LOOKUP]
    chosen = deciding or fitting
    if len({row[3] for row in chosen}) > 1:
        return IdentifierAmbiguous("several patients have this identifier: specify its authority, and type if needed")
    return chosen[0] if chosen else _unknown()


def names(ref: PatientRef, authority: str, kind: str) -> bool:
    """Whether a caller may mean an identifier of that authority and type; case does not matter, and either may be left out."""
    if ref.authority and ref.authority != authority and ref.authority.casefold() != authority.casefold():
        return False
    return not ref.type or not kind or ref.type == kind or ref.type.casefold() == kind.casefold()


def _unknown() -> PatientUnknown:
    return PatientUnknown("no such patient in this enterprise")
