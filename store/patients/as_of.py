"""What was known about a patient at an earlier time, and from which message: the history, read up to that time.

The history holds every value that an authority newly stated, so the assertions of any moment can be rebuilt. What was in force follows
by the rules of ``store.domain.assertions`` under the configuration of that time: whether the enterprise synced, its sources by rank, and
a configuration that waited for approval.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from store import times
from store.db.database import Database
from store.domain import documents, effective
from store.domain.assertions import INHERITED
from store.domain.attributes import is_known
from store.domain.contact import ContactPreferences
from store.domain.documents import instant
from store.domain.enterprise import Enterprise, parse_basis
from store.domain.identifiers import LOOKUP
from store.domain.ids import parsed, shown
from store.domain.opt_out_binding import in_force as bound_in_force
from store.domain.patient import PatientRef
from store.domain.phone_numbers import numbers_on_file
from store.domain.sms_consent import OPT_OUT, SMS, ConsentEvent, Events, OptOut, active, add_by_staff, add_reply
from store.errors import IdentifierAmbiguous, PatientUnknown, StoreError
from store.patients.opt_out_bindings import Bindings
from store.patients.reader import PatientReader, names
from store.preference import EMR, STAFF, Assertion, Preference, emr

IN_FORCE = "SELECT basis, at <= ? FROM bases WHERE enterprise = ? AND state = 'in_force' ORDER BY seq"
WAITED = """SELECT b.basis FROM bases b JOIN runs r ON r.id = b.run_id
 WHERE b.enterprise = ? AND r.kind = 'configuration' AND b.at <= ? AND (r.finished IS NULL OR r.finished > ?) ORDER BY b.seq DESC LIMIT 1"""


def former(database: Database, connection: Connection, enterprise: Enterprise, at: datetime) -> Enterprise:
    """The enterprise under the configuration in force ``at`` that time; before the first one recorded, under that.

    Everything else (names, time zone) is as it is now.
    """
    moment = database.bound(at)
    written = database.select(connection, IN_FORCE, [moment, enterprise.name])
    if not written:
        return enterprise
    basis = next((text for text, begun in reversed(written) if begun), written[0][0])
    plain = replace(enterprise, held=None)
    waited = database.select(connection, WAITED, [enterprise.name, moment, moment])
    return replace(plain.with_basis(parse_basis(basis)), held=plain.with_basis(parse_basis(waited[0][0])) if waited else None)


LINES = """SELECT at, version, authority, evidence_id, effective, changes FROM changes
 WHERE enterprise = ? AND patient_id = ? AND at <= ? ORDER BY seq"""
ORIGINS = "SELECT authority, type, origin, kind FROM identifiers WHERE enterprise = ? AND value = ? AND patient_id = ?"
EVENTS = """SELECT number, line, authority, kind, at, scope, topic, in_reply_to FROM sms_consent_events
 WHERE enterprise = ? AND number IN ?? AND recorded <= ? ORDER BY seq"""
JOINED = "SELECT merged, evidence_id, at FROM merges WHERE survivor = ? AND at <= ? ORDER BY seq"
MERGED_INTO = "merged_into"
EVERY_LINE = "*"


class AsOf(NamedTuple):
    """A patient as it was known ``at`` that time; ``preferences`` carry the evidence that first gave each value."""

    id: str
    version: int
    at: datetime
    preferences: Mapping[str, Preference]
    contact: ContactPreferences
    opt_outs: tuple[OptOut, ...]


class Past:
    """Reads an earlier time, inside a connection that the caller opened."""

    def __init__(self, database: Database, connection: Connection, enterprise: Enterprise) -> None:
        self.database, self.connection, self.enterprise = database, connection, enterprise

    def patient(self, ref: PatientRef, at: datetime) -> AsOf:
        """The patient that this ref named at that time. Raises :class:`PatientUnknown` or :class:`IdentifierAmbiguous`."""
        numbers = {self._survivor(number, at) for number in self._records(ref)}
        if len(numbers) > 1:
            raise IdentifierAmbiguous("several patients had this identifier at that time: specify its authority, and type if needed")
        number = numbers.pop()
        lines = self._lines(number, at)
        if not lines:
            raise PatientUnknown("nothing was known about this patient at that time")
        rules = former(self.database, self.connection, self.enterprise, at)
        by_authority = _assertions(lines, self._joined(number, at))
        in_force = effective.in_force(by_authority, rules)
        contact = effective.contact(in_force)
        return AsOf(shown(number), lines[-1][1], at, in_force, contact, self._opt_outs(number, numbers_on_file(by_authority.values()), at))

    def _records(self, ref: PatientRef) -> set[int]:
        """The records that the ref names, as they were before any merge."""
        row = PatientReader(self.database, self.connection, self.enterprise).rows([ref])[0]
        if isinstance(row, StoreError):
            raise row
        if ref.id is not None:
            return {parsed(ref.id) or 0}
        rows = self._select(ORIGINS, [self.enterprise.name, ref.value, row[3]])
        named = [found for found in rows if names(ref, found[0], found[1])]
        return {found[2] for found in named if found[3] != LOOKUP} or {found[2] for found in named} or {row[3]}

    def _survivor(self, number: int, at: datetime) -> int:
        """The record that this one had been merged into at that time, or itself."""
        into = None
        for line in self._lines(number, at):
            into = documents.read(line[5]).get(MERGED_INTO, (None, into))[1]
        return number if into is None else self._survivor(parsed(into) or 0, at)

    def _joined(self, number: int, at: datetime) -> dict[str, dict[str, dict[str, Assertion]]]:
        """By the evidence of each merge into a record: the assertions about the other record."""
        found = {}
        for other, evidence_id, when in self._select(JOINED, [number, self.database.bound(at)]):
            found[evidence_id] = _assertions(self._lines(other, instant(when)), self._joined(other, instant(when)))
        return found

    def _opt_outs(self, patient: int, numbers: Collection[str], at: datetime) -> tuple[OptOut, ...]:
        events = self._select(EVENTS, [self.enterprise.name, sorted(numbers), self.database.bound(at)]) if numbers else []
        by_number = [one for number in sorted(numbers) for one in active(_events(row for row in events if row[0] == number))]
        bound = Bindings(self.database, self.connection, self.enterprise.name).at(patient, at)
        return bound_in_force(by_number, (one for each in bound for one in active(each.events)))

    def _lines(self, number: int, at: datetime) -> list[Any]:
        return self._select(LINES, [self.enterprise.name, number, self.database.bound(at)])

    def _select(self, sql: str, parameters: list[Any]) -> list[Any]:
        return self.database.select(self.connection, sql, parameters)


def _assertions(lines: Iterable[Any], joined: Mapping[str, Mapping[str, Mapping[str, Assertion]]]) -> dict[str, dict[str, Assertion]]:
    """Authority -> attribute -> its last assertion. ``joined``: the assertions about records that were merged into this one."""
    found: dict[str, dict[str, Assertion]] = {}
    stated: dict[tuple[str, str, Any], Assertion] = {}
    for at, _, authority, evidence_id, since, changes in lines:
        for attribute, (before, after, path) in documents.read(changes).items():
            if is_known(attribute):  # else an event, like a merge
                new = Assertion(documents.as_tuples(attribute, after), times.at(instant(since)), instant(at), evidence_id, path)
                if not evidence_id or path.startswith(INHERITED) or (not path and authority.startswith(EMR)):
                    new = _restated(new, stated.get((_origin(authority, path), attribute, new.value)))
                elif evidence_id in joined:
                    new = _restated(new, joined[evidence_id].get(authority, {}).get(attribute))
                old = found.setdefault(authority, {}).get(attribute)
                if old is not None and before == after and path:  # stated again, at a newer time
                    new = old._replace(effective=new.effective)
                found[authority][attribute] = new
                if new.value is not None:
                    stated[authority, attribute, new.value] = new
    return found


def _origin(authority: str, path: str) -> str:
    """The authority that stated it first: for what staff inherited, the retired source."""
    return emr(path.split(":", 2)[1]) if path.startswith(INHERITED) else authority


def _restated(new: Assertion, before: Assertion | None) -> Assertion:
    """A value that only changed its authority, or came back by an unmerge, names the message that first brought it."""
    if before is None or before.value != new.value:
        return new
    return before._replace(recorded=new.recorded, path=new.path) if new.path else before


def _events(rows: Iterable[Any]) -> Events:
    events: Events = ()
    for number, line, authority, kind, at, scope, topic, in_reply_to in rows:
        channel, _, what = kind.rpartition(":")
        where, answered = None if line == EVERY_LINE else line, documents.read_message_class(in_reply_to)
        event = ConsentEvent(number, where, authority, what == OPT_OUT, instant(at), scope, topic or None, channel or SMS, answered)
        events = add_by_staff(events, event) if authority == STAFF else add_reply(events, event)
    return events
