"""Records patients' consent: replies, opt-outs by other means, and what staff record by hand.

It is kept per number and line (for e-mail: per address), and for the patients it binds.

The rules are in ``store.domain.sms_consent`` and ``store.domain.opt_out_binding``. A STOP without a time of its own is never older than
what is known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from store import times
from store.audit.audit_log import OPTED_IN, OPTED_OUT, SMS_OPT_IN, SMS_OPT_OUT, SMS_REPLY, Audit
from store.db.database import Database
from store.db.tables import ChangeRow, PatientRow, SmsConsentEventRow, SmsWordsRow
from store.domain import documents, sms_consent
from store.domain.consent_change import documented, lifted
from store.domain.enterprise import Enterprise
from store.domain.ids import PatientIds, parsed
from store.domain.lock import Actor, Role
from store.domain.message_class import UNKNOWN, MessageClass
from store.domain.opt_out_binding import NO_NUMBER, AddEvent, OptOutBinding, bind, release, speakers
from store.domain.patient import Patient
from store.domain.revocation import reach_in_force, scoped
from store.domain.sms_consent import ConsentEvent, Events, OptOut, Recognised, ReplyOutcome, active, add_by_staff, add_reply, of_reply
from store.errors import RoleRefused, ValueRefused
from store.patients.apply import Application
from store.patients.batch_rows import CHANGE_COLUMNS
from store.patients.opt_out_bindings import EVENTS, Bindings
from store.patients.patient_batch import Author
from store.patients.write_backs import WriteBacks
from store.preference import DENIED, PATIENT, STAFF, PatientStatements, Statement
from store.preference import consent as consent_of

OWNERS = "SELECT patient_id FROM patient_phones WHERE enterprise = ? AND number IN ??"
VERSIONS = "SELECT id, version FROM patients WHERE id IN ??"
EVENT_COLUMNS = (
    "enterprise",
    "number",
    "line",
    "authority",
    "kind",
    "scope",
    "topic",
    "word",
    "actor",
    "reason",
    "at",
    "recorded",
    "in_reply_to",
)
ALL_LINES = "*"


class PatientOptOut(NamedTuple):
    """An opt-out by a patient, recorded: how many patients it applies to, and whether it was new."""

    patients: int
    is_new: bool


class SmsConsent:
    """One change of consent, inside one transaction."""

    def __init__(self, database: Database, transaction: Connection, enterprise: Enterprise, ids: PatientIds) -> None:
        self.database, self.transaction, self.enterprise, self.ids = database, transaction, enterprise, ids
        self.bindings = Bindings(database, transaction, enterprise.name)

    def reply(
        self,
        reply: Recognised,
        line: str,
        number: str,
        term: str,
        received_at: datetime | None,
        now: datetime,
        answered: MessageClass = UNKNOWN,
    ) -> ReplyOutcome:
        """Records a patient's text message that was classified by ``term``. ``received_at`` ``None``: the sender does not know it.

        ``answered``: the message that it answered.
        """
        before, owners = self._events([number]).get(number, ()), self._owners([number])
        bound = self.bindings.of_numbers([number])
        who = speakers(number, owners, bound)
        only_owner = who if len(owners) == 1 else set()
        bound += [one for one in self.bindings.of_patients(only_owner) if one.number != number] if only_owner else []
        at = _moment(reply, received_at, now, [*before, *(event for one in bound for event in one.events)])
        if reply.kind != sms_consent.OPT_IN:  # it may have been sent when others had the number
            who = who | self.bindings.owners(number, at)
        kind, reply = reply.kind, scoped(reply, answered, reach_in_force(self.enterprise.policy, at, self.enterprise.time_zone))
        event = of_reply(reply, line, number, at, answered)
        after = add_reply(before, event)
        self._write_event(event, term, "", "", now)
        self._keep(number, before, after, now)
        changed = self._bind_or_release(event, who, bound, add_reply, before, now)
        if not event.opted_out:
            self._withdraw(who, Author(PATIENT, now), at, "sms_reply")
        opt_outs_before, opt_outs = active(before), active(after)
        change = documented(str(kind), event, [number], opt_outs_before, opt_outs)
        self.touch(changed | (owners if opt_outs_before != opt_outs else set()), Author(PATIENT, now), at, str(kind), change)
        if not event.opted_out:
            opt_outs_before += _active(one for one in bound if one.patient in who)
            opt_outs += _active(one for one in self.bindings.of_patients(who) if only_owner or one.number == number) if who else ()
        patients = len(owners | who) if event.opted_out else len(owners)
        outcome = sms_consent.outcome(reply, opt_outs_before, opt_outs, line, patients=patients)
        self._audit(SMS_REPLY, "", PATIENT, now, line=line, kind=outcome.kind, scope=outcome.scope, patients=outcome.patients)
        return outcome

    def opt_out_by_hand(
        self, patient: Patient, line: str | None, *, topic: str | None = None, actor: Actor, reason: str, now: datetime
    ) -> None:
        """Opts out all of a patient's numbers, on one line or every line (``None``), for one topic or every topic (``None``).

        It binds the patient, so it holds for numbers that come later, also if there is none now.
        """
        may_record(actor)
        number = parsed(patient.id) or 0
        numbers = sorted({phone.number for phone in patient.contact.phones})
        person, events, bound = str(actor), self._events(numbers), self.bindings.of_patients([number])
        changed: set[int] = set()
        opt_outs = sms_consent.by_staff(numbers or [NO_NUMBER], line, now, topic)
        change = documented(
            sms_consent.OPT_OUT,
            ConsentEvent(NO_NUMBER, line, STAFF, True, now, opt_outs[0].scope, topic),
            numbers,
            patient.opt_outs,
            opt_outs,
        )
        for one in opt_outs:
            event = ConsentEvent(one.number, line, STAFF, True, now, one.scope, topic)
            self._write_event(event, "", person, reason, now)
            before = events.get(one.number, ())
            if one.number:
                after = add_by_staff(before, event)
                self._keep(one.number, before, after, now)
                changed |= self._owners([one.number]) if after != before else set()
            changed |= self._bind_or_release(event, {number}, bound, add_by_staff, before, now)
        self.touch(changed, Author(STAFF, now, actor=person, reason=reason), now, sms_consent.OPT_OUT, change)
        self._audit(SMS_OPT_OUT, patient.id, person, now, line=line, topic=topic, reason=reason, numbers=len(numbers))

    def opt_in_by_hand(
        self, patient: Patient, number: str, line: str | None, *, topic: str | None, actor: Actor, reason: str, now: datetime
    ) -> None:
        """Opts in one of the patient's numbers, on one line or every line (``None``), for one topic or every topic (``None``).

        It also ends the patient's opt-outs of numbers that are no longer on file. A denial by the EMR remains. A number that other
        patients have too is refused.
        """
        may_record(actor)
        who, on_file = parsed(patient.id) or 0, {phone.number for phone in patient.contact.phones}
        if number not in on_file:
            raise ValueRefused("number must be one of the patient's phones, written in E.164")
        if len(self._owners([number])) > 1:
            raise ValueRefused("several patients have this number: only a START from the phone itself can opt it in")
        (one,) = sms_consent.by_staff([number], line, now, topic)
        person, event = str(actor), ConsentEvent(number, line, STAFF, False, now, one.scope, topic)
        before = self._events([number]).get(number, ())
        after = add_by_staff(before, event)
        self._write_event(event, "", person, reason, now)
        self._keep(number, before, after, now)
        bound = [one for one in self.bindings.of_patients([who]) if one.number == number or one.number not in on_file]
        changed = self._bind_or_release(event, {who}, bound, add_by_staff, before, now)
        if topic is None:
            self._withdraw({who}, Author(PATIENT, now, actor=person, reason=reason), now, "sms_opt_in")
        changed |= {who} if active(before) != active(after) else set()
        change = documented(sms_consent.OPT_IN, event, [number], active(before), active(after))
        self.touch(changed, Author(STAFF, now, actor=person, reason=reason), now, sms_consent.OPT_IN, change)
        self._audit(SMS_OPT_IN, patient.id, person, now, line=line, topic=topic, reason=reason)

    def opt_out(self, event: ConsentEvent, how: str, actor: str, now: datetime) -> PatientOptOut:
        """Records an opt-out by a patient that is no reply: a key pressed on a call, an unsubscribe, a provider's refusal to send.

        ``how`` names it. It binds everybody who has the address, and who had it at that time.
        """
        owners = self._owners([event.number])
        who = speakers(event.number, owners, self.bindings.of_numbers([event.number])) | self.bindings.owners(event.number, event.at)
        before, patients = self.events_of(event.number), len(owners | who)
        if event.channel != sms_consent.SMS and _subjects((event,)) <= _subjects(before):  # no opt-in that arrives late can lift it
            return PatientOptOut(patients, is_new=False)
        changed = self.record(event, add_by_staff if event.authority == STAFF else add_reply, who, actor, how, now, term=how)
        after = self.events_of(event.number)
        change = documented(sms_consent.OPT_OUT, event, [event.number], active(before), active(after))
        self.touch(changed, Author(event.authority, now, actor=actor, reason=how), event.at, sms_consent.OPT_OUT, change, event.channel)
        detail = {"channel": event.channel, "how": how, "line": event.line, "topic": event.topic, "patients": patients}
        self._audit(OPTED_OUT, "", actor, now, **detail)
        return PatientOptOut(patients, is_new=_subjects(after) != _subjects(before))

    def opt_in_to_channel(self, patient: Patient, channel: str, *, actor: Actor, reason: str, now: datetime) -> None:
        """Lifts a patient's opt-outs from calls or from e-mail. One at an address that other patients have too is refused."""
        may_record(actor)
        who, person = parsed(patient.id) or 0, str(actor)
        found = [one for one in patient.opt_outs if one.channel == channel]
        if any(len(self._owners([number])) > 1 for number in {one.number for one in found}):
            raise ValueRefused("several patients have this address: correct it in the EMR first")
        for one in found:
            event = ConsentEvent(one.number, one.line, STAFF, False, now, one.scope, one.topic, channel)
            before = self.events_of(one.number)
            after = add_by_staff(before, event)
            self._write_event(event, "", person, reason, now)
            self._keep(one.number, before, after, now)
            bound = [each for each in self.bindings.of_patients([who]) if each.number == one.number]
            self._bind_or_release(event, {who}, bound, add_by_staff, before, now)
        change = lifted(sorted({one.number for one in found}))
        self.touch({who} if found else (), Author(STAFF, now, actor=person, reason=reason), now, sms_consent.OPT_IN, change, channel)
        self._audit(OPTED_IN, patient.id, person, now, channel=channel, reason=reason, opt_outs=len(found))

    def record(
        self, event: ConsentEvent, add_event: AddEvent, who: Collection[int], actor: str, reason: str, now: datetime, *, term: str = ""
    ) -> set[int]:
        """Records an event of a number, and of the patients it binds; returns those whose opt-outs change."""
        before, bound = self.events_of(event.number), self.bindings.of_numbers([event.number])
        after = add_event(before, event)
        self._write_event(event, term, actor, reason, now)
        self._keep(event.number, before, after, now)
        changed = self._bind_or_release(event, who, bound, add_event, before, now)
        return changed | (self._owners([event.number]) if active(before) != active(after) else set())

    def events_of(self, number: str) -> Events:
        """The consent events of one number."""
        return self._events([number]).get(number, ())

    def _audit(self, action: str, subject: str, actor: str, now: datetime, **detail: Any) -> None:
        Audit(self.database).changed(self.transaction, self.enterprise.name, action, subject, actor=actor, now=now, **detail)

    def _events(self, numbers: list[str]) -> dict[str, Events]:
        rows = self.database.select(self.transaction, EVENTS, [self.enterprise.name, numbers]) if numbers else []
        return {number: documents.read_consent_events(text) for number, text in rows}

    def _keep(self, number: str, before: Events, after: Events, now: datetime) -> None:
        if after != before:
            row = (self.enterprise.name, number, documents.write(after), now)
            self.database.upsert(self.transaction, SmsWordsRow, ("enterprise", "number", "words", "updated"), [row])

    def _bind_or_release(
        self,
        event: ConsentEvent,
        who: Collection[int],
        bound: Collection[OptOutBinding],
        add_event: AddEvent,
        known: Events,
        now: datetime,
    ) -> set[int]:
        """Writes the bindings that an event makes or changes; returns the patients whose opt-outs change."""
        after = bind(event, who, bound, add_event, known, now) if event.opted_out else release(event, who, bound, add_event)
        before = {one.seq: one.events for one in bound}
        changed = [one for one in after if one.events != before.get(one.seq)]
        self.bindings.keep(changed, now)
        return {one.patient for one in changed if active(one.events) != active(before.get(one.seq, ()))}

    def _write_event(self, event: ConsentEvent, term: str, actor: str, reason: str, now: datetime) -> None:
        kind = sms_consent.OPT_OUT if event.opted_out else sms_consent.OPT_IN
        kind = kind if event.channel == sms_consent.SMS else f"{event.channel}:{kind}"
        row = (
            self.enterprise.name,
            event.number,
            event.line or ALL_LINES,
            event.authority,
            kind,
            event.scope,
            event.topic or "",
            term,
            actor,
            reason,
            event.at,
            now,
            documents.write_message_class(event.in_reply_to),
        )
        self.database.insert(self.transaction, SmsConsentEventRow, EVENT_COLUMNS, [row])

    def _withdraw(self, patients: Collection[int], author: Author, at: datetime, how: str) -> None:
        """Clears, at an opt-in, the denial that merges before November 2026 wrote for a patient's opt-out."""
        work = Application(self.database, self.transaction, self.enterprise, author, self.ids)
        name = consent_of("sms")
        for patient in work.resume(sorted(patients)).values():
            asserted = patient.asserted.get(PATIENT)
            if asserted is not None and (consent := asserted.current().get(name)) is not None and consent.value == DENIED:
                item = PatientStatements((), {name: Statement(None, how)}, times.at(at), how)
                work.receive(patient, item, documents.digest((), item.statements))
        work.finish()

    def touch(
        self, patients: Collection[int], author: Author, at: datetime, what: str, change: tuple[Any, Any], channel: str = sms_consent.SMS
    ) -> None:
        """Gives patients whose opt-outs changed a new version, and a line in the history and the feed (``store.domain.consent_change``)."""
        WriteBacks(self.database).follow(self.transaction, self.enterprise, patients, author.now)
        versions = self.database.select(self.transaction, VERSIONS, [sorted(patients)]) if patients else []
        if not versions:
            return
        path = "sms_reply" if channel == sms_consent.SMS else "opt_out"
        written = documents.write({f"{channel}_consent": (*change, path)})
        author_columns = (author.authority, author.actor, author.reason, f"{channel}:{what}", at, None, written)
        rows = [(self.enterprise.name, patient, version + 1, author.now, *author_columns) for patient, version in sorted(versions)]
        self.database.insert(self.transaction, ChangeRow, CHANGE_COLUMNS, rows)
        next_ones = [(version + 1, author.now, patient) for patient, version in versions]
        self.database.update(self.transaction, PatientRow, ("id",), ("version", "updated"), next_ones)

    def _owners(self, numbers: list[str]) -> set[int]:
        """The patients who have one of the numbers, by any source."""
        return {patient for (patient,) in self.database.select(self.transaction, OWNERS, [self.enterprise.name, numbers])}


def opted_out_at(at: datetime | None, now: datetime, known: Iterable[ConsentEvent]) -> datetime:
    """When an opt-out was made: without a usable time, not before what is known."""
    return _moment(Recognised(sms_consent.OPT_OUT, None), at, now, known)


def _moment(reply: Recognised, received_at: datetime | None, now: datetime, known: Iterable[ConsentEvent]) -> datetime:
    """When a reply was sent. Without a usable time an opt-out is not older than what is known, as our clock may have been set back;
    an opt-in is newer than what is known, and older than anything that arrives later.
    """
    if received_at is not None and received_at <= now:
        return received_at
    last = max((event.at for event in known), default=times.BEGINNING)
    return min(now, last + times.STEP) if reply.kind == sms_consent.OPT_IN else max(now, last)


def _subjects(events: Events) -> set[OptOut]:
    """The opt-outs in force, without their times and what they answered."""
    return {one._replace(at=None, in_reply_to=MessageClass(category=one.category)) for one in active(events)}


def _active(bound: Iterable[OptOutBinding]) -> tuple[OptOut, ...]:
    return tuple(one for binding in bound for one in active(binding.events))


def may_record(actor: Actor) -> None:
    """Raises :class:`RoleRefused` unless this role may record SMS consent."""
    if actor.role not in (Role.ENTERPRISE, Role.STAFF):
        raise RoleRefused("only enterprise users and staff can record SMS consent")
