"""Writes SMS consent: replies, and opt-outs that staff record. Held per number and line, and for the patients whom it binds.

Newer evidence wins here too: a START cannot lift a STOP that was sent after it, and a STOP that arrives after a newer START
of the same line is history. A STOP without a time of its own is never older than what is known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from store import times
from store.audit.audit_log import SMS_OPT_IN, SMS_OPT_OUT, SMS_REPLY, Audit
from store.db.database import Database
from store.db.tables import ChangeRow, PatientRow, SmsConsentEventRow, SmsWordsRow
from store.domain import documents, sms_consent
from store.domain.enterprise import Enterprise
from store.domain.ids import PatientIds, parsed
from store.domain.lock import Actor, Role
from store.domain.opt_out_binding import NO_NUMBER, Bound, Hear, bind, release, speakers
from store.domain.patient import Patient
from store.domain.sms_consent import OptOut, Recognised, ReplyOutcome, Word, received, recorded, replied, standing
from store.errors import RoleRefused, ValueRefused
from store.patients.apply import Application
from store.patients.batch_rows import CHANGE_COLUMNS
from store.patients.opt_out_bindings import Bindings
from store.patients.patient_batch import Author
from store.patients.reader import WORDS
from store.preference import DENIED, PATIENT, STAFF, PatientStatements, Statement
from store.preference import consent as consent_of

OWNERS = "SELECT patient_id FROM patient_phones WHERE enterprise = ? AND number IN ??"
VERSIONS = "SELECT id, version FROM patients WHERE id IN ??"
EVENT_COLUMNS = ("enterprise", "number", "line", "authority", "kind", "scope", "topic", "word", "actor", "reason", "at", "recorded")
ALL_LINES = "*"


class SmsConsent:
    """One change of SMS consent, inside one transaction."""

    def __init__(self, database: Database, transaction: Connection, enterprise: Enterprise, ids: PatientIds) -> None:
        self.database, self.transaction, self.enterprise, self.ids = database, transaction, enterprise, ids
        self.bindings = Bindings(database, transaction, enterprise.name)

    def reply(self, said: Recognised, line: str, number: str, term: str, received_at: datetime | None, now: datetime) -> ReplyOutcome:
        """A patient's text message that was recognised by ``term``. ``received_at`` ``None``: the sender does not know."""
        before, owners = self._words([number]).get(number, ()), self._owners([number])
        bound = self.bindings.of_numbers([number])
        who = speakers(number, owners, bound)
        alone = who if len(owners) == 1 else set()
        bound += [one for one in self.bindings.of_patients(alone) if one.number != number] if alone else []
        at = _moment(said, received_at, now, [*before, *(word for one in bound for word in one.words)])
        if said.kind != sms_consent.OPT_IN:  # it may have been sent when others had the number
            who = who | self.bindings.owners(number, at)
        kind, said = said.kind, sms_consent.widened(said, at, self.enterprise.policy.revoke_all_from, self.enterprise.time_zone)
        word = replied(said, line, number, at)
        after = received(before, word)
        self._event(word, term, "", "", now)
        self._keep(number, before, after, now)
        changed = self._bind(word, who, bound, received, before, now) if word.opted_out else self._release(word, who, bound, received, now)
        if not word.opted_out:
            self._withdraw(who, Author(PATIENT, now), at, "sms_reply")
        was, stands = standing(before), standing(after)
        self.touch(changed | (owners if was != stands else set()), Author(PATIENT, now), at, str(kind))
        if not word.opted_out:
            was += tuple(_standing(one for one in bound if one.patient in who))
            stands += tuple(_standing(one for one in self.bindings.of_patients(who) if alone or one.number == number)) if who else ()
        answer = sms_consent.reply(said, was, stands, line, patients=len(owners | who) if word.opted_out else len(owners))
        self._audit(SMS_REPLY, "", PATIENT, now, line=line, kind=answer.kind, scope=answer.scope, patients=answer.patients)
        return answer

    def opt_out_by_hand(
        self, patient: Patient, line: str | None, *, topic: str | None = None, actor: Actor, reason: str, now: datetime
    ) -> None:
        """All of a patient's numbers, on one line or on every line (``None``), about one topic or about everything (``None``).

        It binds the patient, so it holds for numbers that come later; also for a patient who has none now.
        """
        may_record(actor)
        number = parsed(patient.id) or 0
        numbers = sorted({phone.number for phone in patient.contact.phones})
        person, words, bound = str(actor), self._words(numbers), self.bindings.of_patients([number])
        changed: set[int] = set()
        for one in sms_consent.by_staff(numbers or [NO_NUMBER], line, now, topic):
            word = Word(one.number, line, STAFF, True, now, one.scope, topic)
            self._event(word, "", person, reason, now)
            if one.number:
                before = words.get(one.number, ())
                after = recorded(before, word)
                self._keep(one.number, before, after, now)
                changed |= self._owners([one.number]) if after != before else set()
            changed |= self._bind(word, {number}, bound, recorded, words.get(one.number, ()), now)
        self.touch(changed, Author(STAFF, now, actor=person, reason=reason), now, sms_consent.OPT_OUT)
        self._audit(SMS_OPT_OUT, patient.id, person, now, line=line, topic=topic, reason=reason, numbers=len(numbers))

    def opt_in_by_hand(
        self, patient: Patient, number: str, line: str | None, *, topic: str | None, actor: Actor, reason: str, now: datetime
    ) -> None:
        """One of the patient's numbers, on one line or on every line (``None``), about one topic or about everything (``None``).

        It also opens what the patient is bound by from numbers that are no longer on file. What the EMR denies stays denied. A number
        that others have too is theirs to open: it is refused.
        """
        may_record(actor)
        who, on_file = parsed(patient.id) or 0, {phone.number for phone in patient.contact.phones}
        if number not in on_file:
            raise ValueRefused("number must be one of the patient's phones, written in E.164")
        if len(self._owners([number])) > 1:
            raise ValueRefused("several patients have this number: only a START from the phone itself can opt it in")
        (one,) = sms_consent.by_staff([number], line, now, topic)
        person, word = str(actor), Word(number, line, STAFF, False, now, one.scope, topic)
        before = self._words([number]).get(number, ())
        after = recorded(before, word)
        self._event(word, "", person, reason, now)
        self._keep(number, before, after, now)
        mine = [one for one in self.bindings.of_patients([who]) if one.number == number or one.number not in on_file]
        changed = self._release(word, {who}, mine, recorded, now)
        if topic is None:
            self._withdraw({who}, Author(PATIENT, now, actor=person, reason=reason), now, "sms_opt_in")
        changed |= {who} if standing(before) != standing(after) else set()
        self.touch(changed, Author(STAFF, now, actor=person, reason=reason), now, sms_consent.OPT_IN)
        self._audit(SMS_OPT_IN, patient.id, person, now, line=line, topic=topic, reason=reason)

    def hear(self, word: Word, hear: Hear, who: Collection[int], actor: str, reason: str, now: datetime) -> set[int]:
        """Keeps a word about a number and for those whom it binds; the patients for whom something else holds by it."""
        before, bound = self.words_of(word.number), self.bindings.of_numbers([word.number])
        after = hear(before, word)
        self._event(word, "", actor, reason, now)
        self._keep(word.number, before, after, now)
        changed = self._bind(word, who, bound, hear, before, now) if word.opted_out else self._release(word, who, bound, hear, now)
        return changed | (self._owners([word.number]) if standing(before) != standing(after) else set())

    def words_of(self, number: str) -> tuple[Word, ...]:
        """What was said about texting one number."""
        return self._words([number]).get(number, ())

    def _audit(self, action: str, subject: str, actor: str, now: datetime, **detail: Any) -> None:
        Audit(self.database).changed(self.transaction, self.enterprise.name, action, subject, actor=actor, now=now, **detail)

    def _words(self, numbers: list[str]) -> dict[str, tuple[Word, ...]]:
        rows = self.database.select(self.transaction, WORDS, [self.enterprise.name, numbers]) if numbers else []
        return {number: documents.read_words(words) for number, words in rows}

    def _keep(self, number: str, before: tuple[Word, ...], after: tuple[Word, ...], now: datetime) -> None:
        if after != before:
            row = (self.enterprise.name, number, documents.write(after), now)
            self.database.upsert(self.transaction, SmsWordsRow, ("enterprise", "number", "words", "updated"), [row])

    def _bind(
        self, word: Word, who: Collection[int], bound: Collection[Bound], hear: Hear, said: Iterable[Word], now: datetime
    ) -> set[int]:
        return self._rewrite(bind(word, who, bound, hear, said, now), bound, now)

    def _release(self, word: Word, who: Collection[int], bound: Collection[Bound], hear: Hear, now: datetime) -> set[int]:
        return self._rewrite(release(word, who, bound, hear, _every), bound, now)

    def _rewrite(self, bindings: Iterable[Bound], before: Collection[Bound], now: datetime) -> set[int]:
        """Keeps the bindings that are new or changed; the patients for whom something else holds by it."""
        was = {one.seq: one.words for one in before}
        changed = [one for one in bindings if one.words != was.get(one.seq)]
        self.bindings.keep(changed, now)
        return {one.patient for one in changed if standing(one.words) != standing(was.get(one.seq, ()))}

    def _event(self, word: Word, term: str, actor: str, reason: str, now: datetime) -> None:
        kind = sms_consent.OPT_OUT if word.opted_out else sms_consent.OPT_IN
        row = (
            self.enterprise.name,
            word.number,
            word.line or ALL_LINES,
            word.authority,
            kind,
            word.scope,
            word.topic or "",
            term,
            actor,
            reason,
            word.at,
            now,
        )
        self.database.insert(self.transaction, SmsConsentEventRow, EVENT_COLUMNS, [row])

    def _withdraw(self, patients: Collection[int], author: Author, at: datetime, how: str) -> None:
        """An opt-in also takes back the opt-out that merges of before November 2026 kept as a denial of the patient."""
        work = Application(self.database, self.transaction, self.enterprise, author, self.ids)
        name = consent_of("sms")
        for patient in work.resume(sorted(patients)).values():
            held = patient.held.get(PATIENT)
            if held is not None and (said := held.current().get(name)) is not None and said.value == DENIED:
                item = PatientStatements((), {name: Statement(None, how)}, times.at(at), how)
                work.state(patient, item, documents.digest((), item.statements))
        work.finish()

    def touch(self, patients: Collection[int], author: Author, at: datetime, what: str) -> None:
        """Everybody for whom something else holds gets a new version and a line in the history and the feed."""
        versions = self.database.select(self.transaction, VERSIONS, [sorted(patients)]) if patients else []
        if not versions:
            return
        change = documents.write({"sms_consent": (None, what, "sms_reply")})
        author_columns = (author.authority, author.actor, author.reason, f"sms:{what}", at, None, change)
        rows = [(self.enterprise.name, patient, version + 1, author.now, *author_columns) for patient, version in sorted(versions)]
        self.database.insert(self.transaction, ChangeRow, CHANGE_COLUMNS, rows)
        next_ones = [(version + 1, author.now, patient) for patient, version in versions]
        self.database.update(self.transaction, PatientRow, ("id",), ("version", "updated"), next_ones)

    def _owners(self, numbers: list[str]) -> set[int]:
        """The patients who have one of the numbers, by any source."""
        return {patient for (patient,) in self.database.select(self.transaction, OWNERS, [self.enterprise.name, numbers])}


def _moment(said: Recognised, received_at: datetime | None, now: datetime, known: Iterable[Word]) -> datetime:
    """When a reply was sent. Our clock may have stepped back: an opt-out that cannot be placed is not older than what is known.

    An opt-in that cannot be placed was sent after what is known, and before whatever is heard of later.
    """
    if received_at is not None and received_at <= now:
        return received_at
    last = max((word.at for word in known), default=times.BEGINNING)
    return min(now, last + times.STEP) if said.kind == sms_consent.OPT_IN else max(now, last)


def _standing(bound: Iterable[Bound]) -> list[OptOut]:
    return [one for each in bound for one in standing(each.words)]


def _every(_: Bound) -> bool:
    return True


def may_record(actor: Actor) -> None:
    """Raises :class:`RoleRefused` for who may not."""
    if actor.role not in (Role.ENTERPRISE, Role.STAFF):
        raise RoleRefused("only enterprise users and staff can record SMS consent")
