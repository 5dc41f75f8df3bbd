"""Writes SMS consent: replies with keywords, and opt-outs that staff record. Held per number and line; the words are in ``consent``.

Newer evidence wins here too: a START cannot lift a STOP that was sent after it, and a STOP that arrives after a newer START
of the same line is history.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from store import consent, documents
from store.apply import CHANGE_COLUMNS, Application, Author
from store.consent import Reply
from store.database import Database
from store.enterprise import Enterprise
from store.errors import RoleRefused, ValueRefused
from store.ids import PatientIds
from store.lock import Actor, Role
from store.merging.displaced import DisplacedNumbers
from store.patient import Patient
from store.preference import DENIED, PATIENT, STAFF, PatientStatements, Statement
from store.preference import consent as consent_of
from store.proof.audit import SMS_OPT_IN, SMS_OPT_OUT, SMS_REPLY, Audit
from store.reading import WORDS
from store.tables import ChangeRow, PatientRow, SmsConsentEventRow, SmsWordsRow
from store.texting.word import Word, heard, recorded, replied, standing

OWNERS = """SELECT p.id, p.version FROM patient_phones ph JOIN patients p ON p.id = ph.patient_id
 WHERE ph.enterprise = ? AND ph.number IN ??"""
EVENT_COLUMNS = ("enterprise", "number", "line", "authority", "kind", "scope", "topic", "word", "actor", "reason", "at", "recorded")
ALL_LINES = "*"


class SmsConsent:
    """One change of SMS consent, inside one transaction."""

    def __init__(self, database: Database, transaction: Connection, enterprise: Enterprise, ids: PatientIds) -> None:
        self.database, self.transaction, self.enterprise, self.ids = database, transaction, enterprise, ids

    def reply(self, line: str, number: str, body: str, received_at: datetime, now: datetime) -> Reply:
        """A patient's text message. Only a keyword is kept, as an event; anything else changes nothing and leaves no trace."""
        said = consent.recognise(body, self.enterprise.opt_in_words)
        if said.kind is None:
            return consent.reply(said, (), (), line)
        at = min(received_at, now)
        kind, said = said.kind, consent.widened(said, at, self.enterprise.revoke_all_from, self.enterprise.time_zone)
        word = replied(said, line, number, at)
        before = self._words([number]).get(number, ())
        after = heard(before, word)
        self._event(word, body, "", "", now)
        self._keep(number, before, after, now)
        if not word.opted_out:
            self._withdraw(number, Author(PATIENT, now), at, "sms_reply")
        was, stands = standing(before), standing(after)
        self._touch([number] if was != stands else [], Author(PATIENT, now), at, kind)
        answer = consent.reply(said, was, stands, line, patients=len(self._owners([number])))
        self._audit(SMS_REPLY, "", PATIENT, now, line=line, kind=answer.kind, scope=answer.scope, patients=answer.patients)
        return answer

    def opt_out_by_hand(
        self, patient: Patient, line: str | None, *, topic: str | None = None, actor: Actor, reason: str, now: datetime
    ) -> None:
        """All of a patient's numbers, on one line or on every line (``None``), about one topic or about everything (``None``)."""
        _may_record(actor)
        numbers = sorted({phone.number for phone in patient.contact.phones})
        if not numbers:
            raise ValueRefused("the patient has no phone number to opt out")
        person, words = f"{actor.role}:{actor.name}", self._words(numbers)
        changed = []
        for one in consent.by_staff(numbers, line, now, topic):
            word = Word(one.number, line, STAFF, True, now, one.scope, topic)
            before = words.get(one.number, ())
            self._event(word, "", person, reason, now)
            after = recorded(before, word)
            self._keep(one.number, before, after, now)
            changed += [one.number] if after != before else []
        self._touch(changed, Author(STAFF, now, actor=person, reason=reason), now, consent.OPT_OUT)
        self._audit(SMS_OPT_OUT, patient.id, person, now, line=line, topic=topic, reason=reason, numbers=len(numbers))

    def opt_in_by_hand(
        self, patient: Patient, number: str, line: str | None, *, topic: str | None, actor: Actor, reason: str, now: datetime
    ) -> None:
        """One of the patient's numbers, on one line or on every line (``None``), about one topic or about everything (``None``).

        What the EMR denies stays denied. A number that others have too is theirs to open: it is refused.
        """
        _may_record(actor)
        if number not in {phone.number for phone in patient.contact.phones}:
            raise ValueRefused("number must be one of the patient's phones, written in E.164")
        if len(self._owners([number])) > 1:
            raise ValueRefused("several patients have this number: only a START from the phone itself opts it in")
        (one,) = consent.by_staff([number], line, now, topic)
        person, word = f"{actor.role}:{actor.name}", Word(number, line, STAFF, False, now, one.scope, topic)
        before = self._words([number]).get(number, ())
        after = recorded(before, word)
        self._event(word, "", person, reason, now)
        self._keep(number, before, after, now)
        if topic is None:
            self._withdraw(number, Author(PATIENT, now, actor=person, reason=reason), now, "sms_opt_in")
        changed = [number] if standing(before) != standing(after) else []
        self._touch(changed, Author(STAFF, now, actor=person, reason=reason), now, consent.OPT_IN)
        self._audit(SMS_OPT_IN, patient.id, person, now, line=line, topic=topic, reason=reason)

    def _audit(self, action: str, subject: str, actor: str, now: datetime, **detail: Any) -> None:
        Audit(self.database).changed(self.transaction, self.enterprise.name, action, subject, actor=actor, now=now, **detail)

    def _words(self, numbers: list[str]) -> dict[str, tuple[Word, ...]]:
        rows = self.database.select(self.transaction, WORDS, [self.enterprise.name, numbers])
        return {number: documents.read_words(words) for number, words in rows}

    def _keep(self, number: str, before: tuple[Word, ...], after: tuple[Word, ...], now: datetime) -> None:
        if after != before:
            row = (self.enterprise.name, number, documents.write(after), now)
            self.database.upsert(self.transaction, SmsWordsRow, ("enterprise", "number", "words", "updated"), [row])

    def _event(self, word: Word, body: str, actor: str, reason: str, now: datetime) -> None:
        kind = consent.OPT_OUT if word.opted_out else consent.OPT_IN
        row = (
            self.enterprise.name,
            word.number,
            word.line or ALL_LINES,
            word.authority,
            kind,
            word.scope,
            word.topic or "",
            body.replace("\0", "").strip()[:40],  # PostgreSQL's text has no NUL, and a STOP with one is a STOP
            actor,
            reason,
            word.at,
            now,
        )
        self.database.insert(self.transaction, SmsConsentEventRow, EVENT_COLUMNS, [row])

    def _withdraw(self, number: str, author: Author, at: datetime, how: str) -> None:
        """An opt-in also takes back the opt-out that a merge kept for a number the patient no longer has."""
        work = Application(self.database, self.transaction, self.enterprise, author, self.ids)
        name = consent_of("sms")
        displaced = DisplacedNumbers(self.database, self.transaction, self.enterprise.name).released_by(number)
        for patient in work.resume([*self._owners([number]), *displaced]).values():
            held = patient.held.get(PATIENT)
            if held is not None and (said := held.current().get(name)) is not None and said.value == DENIED:
                item = PatientStatements((), {name: Statement(None, how)}, at, how)
                work.state(patient, item, documents.digest((), item.statements))
        work.finish()

    def _touch(self, numbers: list[str], author: Author, at: datetime, what: str) -> None:
        """Everybody who has one of the numbers gets a new version and a line in the history and the feed."""
        owners = self._owners(numbers) if numbers else {}
        if not owners:
            return
        change = documents.write({"sms_consent": (None, what, "sms_reply")})
        author_columns = (author.authority, author.actor, author.reason, f"sms:{what}", at, None, change)
        rows = [(self.enterprise.name, patient, version + 1, author.now, *author_columns) for patient, version in owners.items()]
        self.database.insert(self.transaction, ChangeRow, CHANGE_COLUMNS, rows)
        versions = [(version + 1, author.now, patient) for patient, version in owners.items()]
        self.database.update(self.transaction, PatientRow, ("id",), ("version", "updated"), versions)

    def _owners(self, numbers: list[str]) -> dict[int, int]:
        """The patients who have one of the numbers -> their version."""
        rows = self.database.select(self.transaction, OWNERS, [self.enterprise.name, numbers])
        return dict(sorted(tuple(row) for row in rows))


def _may_record(actor: Actor) -> None:
    if actor.role not in (Role.ENTERPRISE, Role.STAFF):
        raise RoleRefused("SMS consent is recorded by enterprise users and staff only")
