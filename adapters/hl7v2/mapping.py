"""What an HL7 v2 message says about contacting a patient. Pure.

Source: HL7 v2.9 chapters 2 and 3. Type and event decide whom a message is about and what of it counts; what the segments of one patient
state is in ``patient_mapping``. Every ADT message with a PID is read for what it states; those about something else than the patient
only for what they say about contacting the patient, and without taking anything back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from adapters.base import Explanation, Filtered, Item, Payload, SourceSettings, Unmappable
from adapters.hl7v2 import charset as charsets
from adapters.hl7v2 import envelope, events, explain, merge, torn, unknown
from adapters.hl7v2.batch import counted, split
from adapters.hl7v2.cx import MessageSubject
from adapters.hl7v2.errors import UnusableMessage
from adapters.hl7v2.patient_mapping import NO_PID, PatientMapper, evidence
from adapters.hl7v2.reader import ENVELOPE, Message, read
from adapters.mapping.identifiers import SEVERAL_OWN, for_others
from adapters.mapping.rules import UNDECODABLE
from adapters.options import listed
from store.preference import ACTIVE, PatientStatements, Statement

HEAD_ONLY = b"The message was larger than the limit. Its head, which must not be read as a message:\r"

NOBODY = MessageSubject(())
UNKNOWN_TYPE = "MSH-9 is not an HL7 message type: correct it at the sender, or add the type to 'messages' of the source"


class Hl7Mapper:
    """Maps the messages of one source. Building it raises ``MappingError`` for a rule that cannot be compiled.

    Options: ``charset`` (trusted before MSH-18) and ``charset_fallback`` (tried last), codes of table 0211 or common names;
    ``messages`` (the types that are read, default ADT), ``processing`` (what MSH-11 may say, default P) and ``time_from`` (``stated_at``).
    """

    def __init__(self, settings: SourceSettings) -> None:
        options = settings.options
        self._messages = frozenset(one.upper() for one in listed(options, "messages")) or frozenset({"ADT"})
        self._processing = frozenset(one.upper() for one in listed(options, "processing")) or frozenset({"P"})
        self._charset = charsets.option(options, "charset")
        self._fallback = charsets.option(options, "charset_fallback")
        self._patients = PatientMapper(settings)
        self._identifiers, self._rules = self._patients.identifiers, self._patients.rules
        self.mapping, self.reread = self._patients.mapping, self._rules.reread

    def read(self, payload: Payload) -> list[Item]:
        """What the payload says: one item, or one for each pair of a merge and for each message of a batch."""
        body = payload.body
        if payload.refused:
            reason, detail = payload.refused
            return [Unmappable(reason, detail, payload.locator, HEAD_ONLY + body)]
        try:
            message = read(body, self._charset, self._fallback)
            if message.count("MSH") > 1:
                parts = list(counted(split(body)))
                if len(parts) > 1:
                    return [item for n, part in enumerate(parts, 1) for item in self.read(envelope.part(payload, part, n))]
                raise UnusableMessage(
                    "several_messages", "more than one MSH segment: send each message in its own frame or file entry", "MSH"
                )
            return torn.items(message, partial(self._message, payload=payload)) if message.oddity else self._message(message, payload)
        except UnusableMessage as error:
            if error.reason == "not_hl7" and body.strip()[:3].decode("latin-1") in ENVELOPE:
                return [envelope.item(payload, body)]
            return [Unmappable(error.reason, error.detail, payload.locator, body, error.path)]

    def explain(self, payload: Payload) -> Explanation:
        """What the payload says and what of it nothing reads, for the person who writes the mapping."""
        items = self.read(payload)
        try:
            message = read(payload.body, self._charset, self._fallback)
        except UnusableMessage:
            return Explanation(items)
        codes = unknown.codes(message, self._rules, self._patients.tables, self._patients.languages)
        if any(isinstance(item, Unmappable) and item.reason == "patient_id_missing" for item in items):
            codes += unknown.identifiers(message)
        unused = explain.unused(message, self._rules.paths)
        return Explanation(items, explain.stated(items), unused, self._rules.unmapped(message), codes)

    def _message(self, message: Message, payload: Payload) -> list[Item]:
        try:
            return self._of_kind(message, payload)
        except UnusableMessage as error:
            if not error.others:
                raise
            return self._refused_for(message, error, payload)

    def _refused_for(self, message: Message, error: UnusableMessage, payload: Payload) -> list[Item]:
        """A rejected message, and what refuses in it, or may, for the patients whom it names beside the one that cannot be read."""
        item = self._patients.read(message, payload, present=True, subject=NOBODY) if error.others else None
        return [_rejected(error, payload), *(for_others(item, error.others) if item is not None else ())]

    def _of_kind(self, message: Message, payload: Payload) -> list[Item]:
        kind, event = events.kind(message)
        if kind not in self._messages:
            if not events.is_type(kind):
                raise UnusableMessage("message_type_unknown", UNKNOWN_TYPE, "MSH-9")
            return [Filtered("acknowledgement" if kind in events.ACKNOWLEDGEMENTS else "message_type_not_used", payload.locator)]
        try:
            processing = events.processing(message)
        except UnusableMessage as error:
            return [_rejected(error, payload), *self._refusals(message, payload)]
        if processing not in self._processing:
            return [Filtered(events.NOT_PRODUCTION[processing], payload.locator)]
        if kind != "ADT" or event == events.SWAPPED:
            return self._each(message, payload, present=kind != "ADT") or [self._about_nobody(message, "patient_segment_absent", payload)]
        return self._of_event(message, event, payload)

    def _of_event(self, message: Message, event: str, payload: Payload) -> list[Item]:
        """An ADT message."""
        if event in events.UPDATES:
            item = self._patients.read(message, payload)
            return self._with_others(message, _added(item) if event == events.ADDED else item, payload)
        if event in events.MERGES or event == events.RENAMED:
            return self._merged(message, payload, renamed=event == events.RENAMED)
        if event in events.QUIET:
            return self._quiet(message, event, payload)
        if event in events.DELETED:
            return self._with_others(message, _deleted(self._patients.read_contact(message, payload)), payload)
        if event == events.MOVED:
            return self._moved(message, payload)
        if not message.count("PID"):
            return [self._about_nobody(message, "event_not_used", payload)]
        if message.count("MRG") and not events.is_known(event):
            wrong = UnusableMessage("event_unknown", "MSH-9.2 has no known event, but MRG indicates a merge: correct it", "MSH-9.2")
            return self._with_contact([_rejected(wrong, payload)], message, payload)
        return self._with_others(message, self._patients.read(message, payload), payload)

    def _each(self, message: Message, payload: Payload, *, present: bool) -> list[Item]:
        """What is stated about each patient of a message that may have several."""
        return [item for part in merge.patients(message) for item in self._of_patient(part, payload, present=present)]

    def _of_patient(self, part: Message, payload: Payload, *, present: bool) -> list[Item]:
        try:
            return self._with_others(part, self._patients.read(part, payload, present=present), payload)
        except UnusableMessage as error:
            return self._refused_for(part, error, payload)

    def _merged(self, message: Message, payload: Payload, *, renamed: bool) -> list[Item]:
        """The merges of the message, and then what it says about contacting those who survive them; also where a merge cannot be used."""
        found: list[Item] = []
        try:
            effective = self._patients.stated_at(message, payload).effective
            name = evidence(message, payload)
            found += merge.merges(message, self._identifiers, effective, name, payload.locator, renamed=renamed)
        except UnusableMessage as error:
            found.append(_rejected(error, payload))
        return self._with_contact(found, message, payload)

    def _with_contact(self, found: list[Item], message: Message, payload: Payload) -> list[Item]:
        """The items, and what the message says beside them; what was rejected already is not rejected again."""
        known = {(one.reason, one.path) for one in found if isinstance(one, Unmappable)}
        stated = self._contact(message, payload)
        return [*found, *(one for one in stated if not isinstance(one, Unmappable) or (one.reason, one.path) not in known)]

    def _moved(self, message: Message, payload: Payload) -> list[Item]:
        try:
            same = merge.moved(message, self._identifiers, payload.received.date())
        except UnusableMessage as error:
            return self._with_contact([_rejected(error, payload)], message, payload)
        return [replace(self._patients.read(message, payload), identifiers=same)]

    def _quiet(self, message: Message, event: str, payload: Payload) -> list[Item]:
        if event == events.ACCOUNT_MERGE and merge.names_two_patients(message, self._identifiers, payload.received.date()):
            detail = "A35 merges accounts of one patient, but MRG-1 and PID-3 identify two: send A40 if they are one patient"
            return self._with_contact([_rejected(UnusableMessage("merge_ambiguous", detail, "MRG-1"), payload)], message, payload)
        return [*self._contact(message, payload)] or [self._about_nobody(message, events.QUIET[event], payload)]

    def _about_nobody(self, message: Message, reason: str, payload: Payload) -> Item:
        """A message that states nothing of a patient; rejected where rules read something in it and no segment says of whom."""
        if message.segments("PID") or not self._rules.finds(message):
            return Filtered(reason, payload.locator)
        return Unmappable("patient_segment_missing", NO_PID, payload.locator, payload.body, "PID")

    def _contact(self, message: Message, payload: Payload) -> Iterator[PatientStatements | Unmappable]:
        """What a message about something else says about contacting its patients; rejected where it says that of nobody."""
        today = payload.received.date()
        for part in merge.patients(message):
            item = self._patients.read_contact(part, payload, NOBODY)
            try:
                subject = self._patients.subject(part, self._patients.pids(part, today)[0], today)
            except UnusableMessage as error:
                if item.statements or item.problems or error.reason == UNDECODABLE:
                    yield _rejected(error, payload)
                    yield from for_others(item, error.others)
                continue
            problems = (*item.problems, *subject.problems)
            if item.statements or problems:
                item = replace(item, identifiers=subject.identifiers, problems=problems)
                yield item
                yield from for_others(item, subject.others)

    def _refusals(self, message: Message, payload: Payload) -> Iterator[PatientStatements]:
        """What refuses in a message that may not be meant for us, and nothing else of it."""
        for one in self._contact(message, payload):
            if isinstance(one, PatientStatements):
                yield from for_others(one, one.identifiers[:1])

    def _with_others(self, message: Message, item: PatientStatements, payload: Payload) -> list[Item]:
        """The item, and what refuses in it for each further own identifier of the message."""
        if not item.problems or not any(one.reason == SEVERAL_OWN for one in item.problems):
            return [item]
        today = payload.received.date()
        return [item, *for_others(item, self._patients.subject(message, self._patients.pids(message, today)[0], today).others)]


def _rejected(error: UnusableMessage, payload: Payload) -> Unmappable:
    return Unmappable(error.reason, error.detail, payload.locator, payload.body, error.path)


def _added(item: PatientStatements) -> PatientStatements:
    """A person who is added is active, also after a deletion; unless a rule of the site says otherwise."""
    return replace(item, statements={ACTIVE: Statement(True, "MSH-9.2"), **item.statements})


def _deleted(item: PatientStatements) -> PatientStatements:
    """The record is not active any more."""
    return replace(item, statements={**item.statements, ACTIVE: Statement(False, "MSH-9.2")})
