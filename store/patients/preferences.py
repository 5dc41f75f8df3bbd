"""The preference store: takes what sources and people state, returns what is in force. Every caller comes in here.

Times are aware UTC and always passed in. Every change is one transaction, with one writer per enterprise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import Connection

from store import times
from store.audit.audit_log import UNMERGED, Audit
from store.db.database import Database
from store.db.kept_connection import KeptConnection
from store.domain import documents, reply_recognition, sms_consent, source_codes
from store.domain.decision import KnownPatient
from store.domain.documents import instant
from store.domain.enterprise import Enterprise
from store.domain.ids import PatientIds, shown
from store.domain.lock import Actor, Toggle, master_of, toggle
from store.domain.message_class import MARKETING, UNKNOWN, MessageClass
from store.domain.patient import ChangedPatient, HistoryEntry, Patient, PatientRef
from store.domain.phone_numbers import Numbering, ReadNumber, in_full
from store.domain.record_merge import ALWAYS
from store.domain.reply_recognition import RecognizedReply
from store.domain.sms_consent import APPOINTMENT_CANCEL, ReplyOutcome
from store.errors import OptInOff, StoreError, ValueRefused
from store.patients.apply import MEETS, Application, Outcome
from store.patients.as_of import AsOf, Past
from store.patients.freshness import Freshness
from store.patients.gating import Guard
from store.patients.local_changes import LocalChange
from store.patients.merge import Joining
from store.patients.patient_batch import Author
from store.patients.reader import PatientReader
from store.patients.replies import APPOINTMENT, KeptReply, KeptText, Replies
from store.patients.reply_review import Review
from store.patients.settings import SettingsStore
from store.patients.sms import SmsConsent
from store.patients.unmerge import Unmerging
from store.preference import DO_NOT_CONTACT, EMR, STAFF, PatientMerge, PatientStatements, RecordOutcome, emr, issuer
from store.runs.encryption import Sealing

HISTORY = """SELECT seq, at, version, changes, authority, evidence_id, effective, actor, reason, run_id FROM changes
 WHERE patient_id = ? ORDER BY seq DESC LIMIT ?"""
CHANGES = "SELECT seq, patient_id, version, at, changes FROM changes WHERE enterprise = ? AND seq > ? ORDER BY seq LIMIT ?"
UNREADABLE = """SELECT a.authority, count(*) FROM assertions a JOIN patients p ON p.id = a.patient_id
 WHERE a.unreadable IS NOT NULL AND p.merged_into IS NULL GROUP BY a.authority"""
HISTORY_LIMIT = 1_000
NUMBERS_AT_HAND = 10_000
"""The size of the cache of numbers and lines read: every ask names one of a few lines."""


class ReceivedReply(NamedTuple):
    """A reply to a line. ``numbers``: each number that its sender may be. ``at``: when it was received, if known.

    ``answered``: the message that it answered.
    """

    line: str
    numbers: tuple[str, ...]
    body: str
    at: datetime | None
    answered: MessageClass = UNKNOWN


class Preferences:
    """The repository of patients' preferences. Thread-safe; one per process.

    ``read_number`` knows the numbering plans; ``sealing`` encrypts the replies that wait for a person (without it their text is not kept).
    """

    def __init__(
        self,
        database: Database,
        enterprises: Mapping[str, Enterprise],
        *,
        read_number: ReadNumber = in_full,
        sealing: Sealing | None = None,
    ) -> None:
        self.database, self.enterprises, self.read_number = database, enterprises, lru_cache(NUMBERS_AT_HAND)(read_number)
        self.sealing, self.replies = sealing, Replies(database, sealing)
        self.settings = SettingsStore(database, enterprises)
        self.freshness = Freshness(database)
        self.ids = PatientIds()
        self._readers: dict[str, source_codes.CodeReader] = {}

    def reads_by(self, source: str, reader: source_codes.CodeReader) -> None:
        """Sets the reader of a source's codes: its present mapping."""
        self._readers[source] = reader

    def apply_many(
        self,
        transaction: Connection,
        enterprise: str,
        source: str,
        items: Sequence[PatientStatements | PatientMerge],
        *,
        now: datetime,
        run_id: str | None = None,
        guard: Guard | None = None,
    ) -> list[Outcome]:
        """Applies what a source stated, in order, inside the caller's transaction. The outcomes are in the order of the items.

        ``guard`` is the safeguard's: what it does not admit is ``held``. Without one everything takes effect. Raises :class:`NotRepeated`
        if items that were not read must be; the caller then rolls the transaction back.
        """
        author = Author(emr(source), now, run_id)
        outcomes: list[Outcome] = []
        for is_merge, group in groupby(items, lambda item: isinstance(item, PatientMerge)):
            if is_merge:
                outcomes += [self._join(transaction, enterprise, author, item) for item in group if isinstance(item, PatientMerge)]
            else:
                statements = [item for item in group if isinstance(item, PatientStatements)]
                found = self.application(transaction, enterprise, author, guard).run(statements)
                for item, outcome in zip(statements, found, strict=True):
                    must_join = outcome.reason == MEETS
                    outcomes.append(self._join_record(transaction, enterprise, author, guard, item) if must_join else outcome)
        return outcomes

    def find(self, enterprise: str, ref: PatientRef, now: datetime | None = None) -> Patient:
        """One patient with everything, as of ``now``; without it, as it was last written (``store.domain.periods``).

        Raises :class:`PatientUnknown` or :class:`IdentifierAmbiguous`.
        """
        with self.database.read() as connection:
            return self.reader(connection, enterprise).patient(self.canonical(enterprise, ref), now)

    def known(
        self, enterprise: str, refs: Sequence[PatientRef], now: datetime, kept: KeptConnection | None = None
    ) -> list[KnownPatient | StoreError]:
        """What decisions need: for each ref, in order, its patient or the error that says why there is none.

        ``kept``: the connection to read over, if the caller has one.
        """
        authorities = self.enterprises[enterprise].authorities
        names = {name: issuer(authorities, name) for name in {ref.authority for ref in refs} if name}
        changed = {name for name, canonical in names.items() if name != canonical}
        canonical = [ref._replace(authority=names[ref.authority]) if ref.authority in changed else ref for ref in refs]
        with kept or self.database.read() as connection:
            return self.reader(connection, enterprise).known(canonical, self.freshness, now)

    def history(self, enterprise: str, patient_id: str, limit: int = HISTORY_LIMIT) -> list[HistoryEntry]:
        """The last changes of a patient, newest first, including those of merged records."""
        with self.database.read() as connection:
            row = self.reader(connection, enterprise).rows([PatientRef(id=patient_id)])[0]
            if isinstance(row, StoreError):
                raise row
            numbers = [row[3], *self._merged_into(connection, row[3])]
            # A record at a time, along its index: asked for together, SQLite walks the history of everybody.
            rows = [row for number in numbers for row in self.database.select(connection, HISTORY, [number, limit])]
        return [entry for row in sorted(rows, key=_seq, reverse=True)[:limit] for entry in _entries(row)]

    def as_of(self, enterprise: str, ref: PatientRef, at: datetime) -> AsOf:
        """What was known about a patient at an earlier time. Raises :class:`PatientUnknown` if nothing was."""
        with self.database.read() as connection:
            return Past(self.database, connection, self.enterprises[enterprise]).patient(self.canonical(enterprise, ref), at)

    def changes(self, enterprise: str, after: int, limit: int) -> list[ChangedPatient]:
        """The feed of changed patients after ``seq``, oldest first."""
        with self.database.read() as connection:
            rows = self.database.select(connection, CHANGES, [enterprise, after, limit])
        return [ChangedPatient(row[0], shown(row[1]), row[2], instant(row[3]), tuple(documents.read(row[4]))) for row in rows]

    def unreadable(self) -> dict[str, int]:
        """Source -> the number of patients with newer evidence that could not be read (``store.domain.unreadable``)."""
        with self.database.read() as connection:
            return {authority.removeprefix(EMR): count for authority, count in self.database.select(connection, UNREADABLE, [])}

    def toggle(self, enterprise: str, patient: Patient, role: str) -> Toggle:
        """The Do Not Contact toggle as this role sees it."""
        rules = self.enterprises[enterprise]
        master = master_of(DO_NOT_CONTACT, patient.marks, rules)
        setting_on = self.settings.get(enterprise).do_not_contact_toggle
        value = patient.contact.do_not_contact
        return toggle(syncs=rules.locks, setting_on=setting_on, role=role, value=value, source=master.source if master else None)

    def set_do_not_contact(
        self, enterprise: str, patient_id: str, value: str, *, actor: Actor, reason: str, now: datetime, if_version: int | None = None
    ) -> Patient:
        """Flips the toggle. Raises ``PreferenceLocked``, ``ToggleOff``, ``RoleRefused``, ``VersionConflict`` or ``ValueRefused``."""
        with self.database.write(enterprise) as transaction:
            change = self._local(transaction, enterprise)
            patient = change.read(patient_id, if_version)
            change.do_not_contact(patient, value, self.settings, actor=actor, reason=reason, now=now)
            return change.read(patient_id, None)

    def set_preferred_phone(
        self, enterprise: str, patient_id: str, number: str, *, actor: Actor, now: datetime, if_version: int | None = None
    ) -> Patient:
        """Chooses one of the patient's phones. Raises ``PreferenceLocked``, ``RoleRefused``, ``VersionConflict`` or ``ValueRefused``."""
        with self.database.write(enterprise) as transaction:
            change = self._local(transaction, enterprise)
            change.preferred_phone(change.read(patient_id, if_version), number, actor=actor, now=now)
            return change.read(patient_id, None)

    def record_sms_opt_out(
        self, enterprise: str, patient_id: str, *, line: str | None, topic: str | None = None, actor: Actor, now: datetime, reason: str = ""
    ) -> Patient:
        """Opts all of a patient's numbers out of a line, or of every line (``None``), for one topic or for all. Never locked
        (product section 6).
        """
        with self.database.write(enterprise) as transaction:
            patient = self.reader(transaction, enterprise).patient(PatientRef(id=patient_id))
            where = self.numbering(enterprise).line(line) if line else None
            self.consent(transaction, enterprise).opt_out_by_hand(patient, where, topic=topic, actor=actor, reason=reason, now=now)
            return self.reader(transaction, enterprise).patient(PatientRef(id=patient_id))

    def record_sms_opt_in(
        self,
        enterprise: str,
        patient_id: str,
        number: str,
        *,
        line: str | None,
        topic: str | None,
        actor: Actor,
        now: datetime,
        reason: str,
    ) -> Patient:
        """Opts one of a patient's numbers in on the patient's behalf. Raises :class:`OptInOff` unless the policy allows it."""
        with self.database.write(enterprise) as transaction:
            if not self.settings.within(transaction, enterprise).policy.staff_may_record_opt_in:
                raise OptInOff("staff_may_record_opt_in is off: only a START from the phone itself can opt it in")
            patient = self.reader(transaction, enterprise).patient(PatientRef(id=patient_id))
            where = self.numbering(enterprise).line(line) if line else None
            self.consent(transaction, enterprise).opt_in_by_hand(patient, number, where, topic=topic, actor=actor, reason=reason, now=now)
            return self.reader(transaction, enterprise).patient(PatientRef(id=patient_id))

    def record_reply(
        self,
        enterprise: str,
        line: str,
        number: str,
        body: str,
        received_at: datetime | None,
        now: datetime,
        answered: MessageClass = UNKNOWN,
    ) -> ReplyOutcome:
        """Records a patient's text message to a line. An opt-out counts for every number that ``number`` may mean; an opt-in needs one.

        ``received_at`` is ``None`` if the sender does not know it. An unclear reply suspends texts and waits for a person. Raises
        :class:`ValueRefused` if the line or the number cannot be read.
        """
        reply, where = self.read_reply(enterprise, body), self.numbering(enterprise).line(line)
        numbers = self.senders(enterprise, number, reply)
        if reply.kind is None:
            return sms_consent.outcome(sms_consent.Recognised(None, None), (), (), where)
        with self.database.write(enterprise) as transaction:
            received = ReceivedReply(where, numbers, body, received_at, answered)
            return self.record_reply_within(transaction, enterprise, reply, received, now)

    def record_reply_within(
        self, transaction: Connection, enterprise: str, reply: RecognizedReply, received: ReceivedReply, now: datetime
    ) -> ReplyOutcome:
        """Records a reply that was classified, in a transaction that the caller opened."""
        sms, recognised = self.consent(transaction, enterprise), sms_consent.Recognised(reply.kind, reply.scope)
        line, numbers, body, at, answered = received
        outcomes = [sms.reply(recognised, line, one, reply.term, at, now, answered) for one in numbers]
        also = (APPOINTMENT_CANCEL,) if reply_recognition.may_cancel_appointment(reply) and answered.category != MARKETING else ()
        if reply.kind == sms_consent.REVIEW or also:
            state = APPOINTMENT if also else sms_consent.REVIEW
            kept = [KeptText(one, line, str(each.scope), body, at or now, state) for one, each in zip(numbers, outcomes, strict=True)]
            self.replies.add(transaction, enterprise, kept, now)
        return outcomes[0]._replace(patients=sum(outcome.patients for outcome in outcomes), also_maybe=also)

    def senders(self, enterprise: str, number: str, reply: RecognizedReply) -> tuple[str, ...]:
        """The numbers that a reply may be from: every one for an opt-out, a certain one for anything else.

        Raises :class:`ValueRefused` if there is none.
        """
        numbers = self.numbering(enterprise).candidates(number)
        if not numbers or (len(numbers) > 1 and reply.kind not in (sms_consent.OPT_OUT, sms_consent.REVIEW)):
            raise ValueRefused("from must be a phone number in E.164, like +12175550100")
        return numbers

    def read_reply(self, enterprise: str, body: str) -> RecognizedReply:
        """How the enterprise's words classify a reply. Changes nothing."""
        rules = self.enterprises[enterprise]
        return reply_recognition.read_reply(body, rules.opt_in_words, rules.opt_out_words)

    def decide_reply(self, enterprise: str, reply_id: str, decision: str, *, actor: Actor, reason: str, now: datetime) -> KeptReply:
        """Decides an unclear reply: it is an opt-out (``opt_out``) or not (``dismiss``).

        Raises :class:`ReplyUnknown`, :class:`VersionConflict` if it was decided already, or :class:`RoleRefused`.
        """
        with self.database.write(enterprise) as transaction:
            review = Review(self.consent(transaction, enterprise), self.replies)
            review.decide(reply_id, decision, actor=actor, reason=reason, now=now)
        return self.replies.one(enterprise, reply_id)

    def numbering(self, enterprise: str) -> Numbering:
        """How phone numbers and lines are read in one enterprise."""
        return Numbering(self.enterprises[enterprise].default_region, self.read_number)

    def unmerge(self, enterprise: str, ref: PatientRef, *, actor: Actor, reason: str, now: datetime) -> tuple[Patient, Patient]:
        """Undoes a merge; ``ref`` names the record that was merged away. Returns the survivor and that record.

        Raises :class:`MergeRefused` with what to do first, :class:`PatientUnknown` or :class:`IdentifierAmbiguous`.
        """
        author = Author(STAFF, now, actor=str(actor), reason=reason)
        with self.database.write(enterprise) as transaction:
            parted = Unmerging(self.application(transaction, enterprise, author)).run(self.canonical(enterprise, ref))
            detail = {"survivor": shown(parted.survivor), "reason": reason}
            Audit(self.database).changed(transaction, enterprise, UNMERGED, shown(parted.restored), actor=author.actor, now=now, **detail)
            reader = self.reader(transaction, enterprise)
            return reader.patient(PatientRef(id=shown(parted.survivor))), reader.patient(PatientRef(id=shown(parted.restored)))

    def canonical(self, enterprise: str, ref: PatientRef) -> PatientRef:
        """The ref with the canonical name of its issuer."""
        return ref._replace(authority=issuer(self.enterprises[enterprise].authorities, ref.authority)) if ref.authority else ref

    def _merged_into(self, connection: Connection, patient: int) -> Iterator[int]:
        for (number,) in self.database.select(connection, "SELECT id FROM patients WHERE merged_into = ?", [patient]):
            yield number
            yield from self._merged_into(connection, number)

    def _join(self, transaction: Connection, enterprise: str, author: Author, item: PatientMerge) -> Outcome:
        return Joining(self.application(transaction, enterprise, author), item).run()

    def _join_record(
        self, transaction: Connection, enterprise: str, author: Author, guard: Guard | None, item: PatientStatements
    ) -> Outcome:
        """Merges the patient of a payload with the one known by its FHIR resource id alone, then applies the payload."""
        naming = self.enterprises[enterprise].naming(author.authority.removeprefix(EMR))
        record = next(one for one in item.identifiers if naming.is_record_id(one))
        joined = self._join(
            transaction, enterprise, author, PatientMerge(item.identifiers[:1], (record,), times.at(ALWAYS), item.evidence_id)
        )
        if joined.outcome in (RecordOutcome.MERGED, RecordOutcome.UNCHANGED):
            return self.application(transaction, enterprise, author, guard).run([item])[0]
        return Outcome(RecordOutcome.REJECTED, "identifier_conflict", joined.detail or "these two records were separated by a user")

    def application(self, transaction: Connection, enterprise: str, author: Author, guard: Guard | None = None) -> Application:
        """A batch of one author, in a transaction that the caller opened."""
        rules = self.enterprises[enterprise]
        reader = self._readers.get(author.authority.removeprefix(EMR))
        return Application(self.database, transaction, rules, author, self.ids, guard, reader)

    def reader(self, connection: Connection, enterprise: str) -> PatientReader:
        """Reads patients on a connection that the caller opened."""
        return PatientReader(self.database, connection, self.enterprises[enterprise])

    def _local(self, transaction: Connection, enterprise: str) -> LocalChange:
        return LocalChange(self.database, transaction, self.enterprises[enterprise], self.ids)

    def consent(self, transaction: Connection, enterprise: str) -> SmsConsent:
        """Records consent in a transaction that the caller opened."""
        return SmsConsent(self.database, transaction, self.enterprises[enterprise], self.ids)


def _seq(row: tuple[object, ...]) -> int:
    return int(str(row[0]))


def _entries(row: tuple[object, ...]) -> Iterator[HistoryEntry]:
    seq, at, version, changes, authority, evidence_id, effective, actor, reason, run_id = row
    for attribute, (before, after, path) in documents.read(str(changes)).items():
        yield HistoryEntry(
            int(str(seq)), instant(at), int(str(version)), attribute, before, after, str(authority), str(evidence_id), path,
            instant(effective), str(actor), str(reason), run_id if run_id is None else str(run_id),
        )  # fmt: skip
