"""What an HL7 v2 message says about contacting a patient. Pure.

Source: HL7 v2.9 chapters 2 and 3; v2-to-FHIR for phones and death. Standard fields are read here; what a site keeps in
publicity codes or Z-segments is configuration (``mapping``), and a rule of the site replaces the standard reading of its
attribute. An empty field is no statement, ``""`` takes a statement back, but not of a record under protection (PD1-12).
Every ADT message with a PID is read for what it states; those about something else than the patient only for what is said about
contacting the patient, and without taking anything back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from zoneinfo import ZoneInfo

from adapters.base import Explanation, Filtered, Item, Payload, SourceSettings, Unmappable
from adapters.hl7v2 import charset as charsets
from adapters.hl7v2 import demographics, envelope, events, explain, merge, stated_at, torn
from adapters.hl7v2.batch import counted, split
from adapters.hl7v2.contact import MOST_DAYS, TelecomRemarks, Turning, agree, later
from adapters.hl7v2.cx import IdentifierReader, Subject
from adapters.hl7v2.errors import UnusableMessage
from adapters.hl7v2.path import compile_path
from adapters.hl7v2.reader import DELETE, ENVELOPE, Message, read
from adapters.hl7v2.site_rules import SiteRules
from adapters.hl7v2.stated_at import StatedAt
from adapters.hl7v2.xtn import TelecomReader
from adapters.mapping.contact_tables import ContactTables
from adapters.mapping.identifiers import SEVERAL_OWN, SEVERAL_OWN_DETAIL, for_others
from adapters.mapping.language import Languages
from adapters.mapping.site_rules import UNDECODABLE, Read, fingerprint
from adapters.options import joined, listed
from store.preference import (
    ACTIVE,
    DENIED,
    DISPLAY_NAME,
    EMAIL,
    LANGUAGE,
    PHONES,
    PREFERRED_PHONE,
    RESTRICTED,
    PatientStatements,
    Problem,
    Statement,
    base,
    slot,
)

HEAD_ONLY = b"The message was larger than the limit. Its head, which must not be read as a message:\r"

# Field, what its numbers are for when they do not say (v2-to-FHIR), slots.
TELECOMS = tuple(
    (number, path, kind, slot(PHONES, path), slot(EMAIL, path))
    for number, path, kind in ((13, "PID-13", "home"), (14, "PID-14", "work"), (40, "PID-40", "other"))
)
_FIELDS = frozenset(number for number, *_ in TELECOMS)
REMARK = 9  # XTN.9 is text, unless the site keeps a code there
DEMOGRAPHICS = frozenset({PHONES, EMAIL, PREFERRED_PHONE, LANGUAGE, DISPLAY_NAME})
PID_WIDTH = 41
_PADDING = [""] * PID_WIDTH
_SEVERAL = Problem(SEVERAL_OWN, "PID-3", SEVERAL_OWN_DETAIL)
NOBODY = Subject(())
NO_PID = "the message has no PID segment"
UNKNOWN_TYPE = "MSH-9 is not an HL7 message type: correct it at the sender, or add the type to 'messages' of the source"


class Hl7Mapper:
    """Maps the messages of one source. Building it raises ``MappingError`` for a rule that cannot be compiled.

    Options: ``charset`` (trusted before MSH-18) and ``charset_fallback`` (tried last), codes of table 0211 or common names;
    ``messages`` (the types that are read, default ADT), ``processing`` (what MSH-11 may say, default P) and ``time_from`` (``stated_at``).
    """

    def __init__(self, settings: SourceSettings) -> None:
        options = joined(settings)
        self._messages = frozenset(one.upper() for one in listed(options, "messages")) or frozenset({"ADT"})
        self._processing = frozenset(one.upper() for one in listed(options, "processing")) or frozenset({"P"})
        self._time_from = tuple(listed(options, "time_from")) or stated_at.ORDER
        self._charset = charsets.option(options, "charset")
        self._fallback = charsets.option(options, "charset_fallback")
        self._zone = ZoneInfo(settings.time_zone)
        self._keep_names = settings.keep_names
        self._identifiers = IdentifierReader(settings)
        tables, self._languages = ContactTables(settings.contact), Languages(settings.languages)
        self._site = SiteRules(settings.rules, compile_path, settings.default_region, tables, self._languages)
        is_text = not any(path.component == REMARK and path.field in _FIELDS for path in self._site.paths)
        self._telecoms = TelecomReader(settings.default_region, tables, is_text=is_text)
        self._ruled = frozenset(base(name) for name in settings.rules)
        self.mapping, self.reread = fingerprint(settings.rules, *settings.codes), self._site.reread
        self._first_is_preferred = settings.rules.get(PREFERRED_PHONE, {}).get("by") == "first"

    def read(self, payload: Payload) -> list[Item]:
        """What the payload says: one item, or one for each pair of a merge and for each message of a batch."""
        body = payload.body
        if payload.refused:
            reason, detail = payload.refused
            return [Unmappable(reason, detail, payload.locator, HEAD_ONLY + body)]
        try:
            message = read(body, self._charset, self._fallback)
            if len(message.segments("MSH")) > 1:
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
        return Explanation(items, explain.stated(items), explain.unused(message, self._site.paths), self._site.unmapped(message))

    def _message(self, message: Message, payload: Payload) -> list[Item]:
        try:
            return self._of_kind(message, payload)
        except UnusableMessage as error:
            if not error.others:
                raise
            return self._refused_for(message, error, payload)

    def _refused_for(self, message: Message, error: UnusableMessage, payload: Payload) -> list[Item]:
        """A rejected message, and what refuses in it, or may, for the patients whom it names beside the one that cannot be read."""
        said = self._statements(message, payload, present=True, who=NOBODY) if error.others else None
        return [_rejected(error, payload), *(for_others(said, error.others) if said is not None else ())]

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
        if event in events.MERGES or event == events.RENAMED:
            return self._merged(message, payload, renamed=event == events.RENAMED)
        if event in events.QUIET:
            return self._quiet(message, event, payload)
        if event in events.DELETED:
            return self._with_others(message, self._deleted(message, payload), payload)
        if event == events.MOVED:
            try:
                same = merge.moved(message, self._identifiers, payload.received.date())
            except UnusableMessage as error:
                return self._with_asides([_rejected(error, payload)], message, payload)
            return [replace(self._statements(message, payload), identifiers=same)]
        if event not in events.UPDATES and not message.segments("PID"):
            return [self._about_nobody(message, "event_not_used", payload)]
        if not events.is_known(event) and message.segments("MRG"):
            unknown = UnusableMessage("event_unknown", "MSH-9.2 has no known event, but MRG indicates a merge: correct it", "MSH-9.2")
            return self._with_asides([_rejected(unknown, payload)], message, payload)
        item = self._statements(message, payload)
        return self._with_others(message, _added(item) if event == events.ADDED else item, payload)

    def _each(self, message: Message, payload: Payload, *, present: bool) -> list[Item]:
        """What is stated about each patient of a message that may have several."""
        return [item for part in merge.patients(message) for item in self._tried(part, payload, present=present)]

    def _tried(self, part: Message, payload: Payload, *, present: bool) -> list[Item]:
        try:
            return self._with_others(part, self._statements(part, payload, present=present), payload)
        except UnusableMessage as error:
            return self._refused_for(part, error, payload)

    def _merged(self, message: Message, payload: Payload, *, renamed: bool) -> list[Item]:
        """The merges of the message, and then what it says about contacting those who survive them; also where a merge cannot be used."""
        found: list[Item] = []
        try:
            effective = self._stated_at(message, "", payload).effective
            evidence = _evidence(message, payload)
            found += merge.merges(message, self._identifiers, effective, evidence, payload.locator, renamed=renamed)
        except UnusableMessage as error:
            found.append(_rejected(error, payload))
        return self._with_asides(found, message, payload)

    def _with_asides(self, found: list[Item], message: Message, payload: Payload) -> list[Item]:
        """The items, and what the message says beside them; what was rejected already is not rejected again."""
        known = {(one.reason, one.path) for one in found if isinstance(one, Unmappable)}
        asides = self._asides(message, payload)
        return [*found, *(one for one in asides if not isinstance(one, Unmappable) or (one.reason, one.path) not in known)]

    def _quiet(self, message: Message, event: str, payload: Payload) -> list[Item]:
        if event == events.ACCOUNT_MERGE and merge.names_two_patients(message, self._identifiers, payload.received.date()):
            detail = "A35 merges accounts of one patient, but MRG-1 and PID-3 identify two: send A40 if they are one patient"
            return self._with_asides([_rejected(UnusableMessage("merge_ambiguous", detail, "MRG-1"), payload)], message, payload)
        return [*self._asides(message, payload)] or [self._about_nobody(message, events.QUIET[event], payload)]

    def _about_nobody(self, message: Message, reason: str, payload: Payload) -> Item:
        """A message that states nothing of a patient; rejected where rules read something in it and no segment says of whom."""
        if message.segments("PID") or not self._site.finds(message):
            return Filtered(reason, payload.locator)
        return Unmappable("patient_segment_missing", NO_PID, payload.locator, payload.body, "PID")

    def _asides(self, message: Message, payload: Payload) -> Iterator[PatientStatements | Unmappable]:
        """What a message about something else says about contacting its patients; rejected where it says that of nobody."""
        for part in merge.patients(message):
            item = self._aside(part, payload, NOBODY)
            try:
                who = self._patient(part, self._pids(part, payload.received.date())[0], payload.received.date())
            except UnusableMessage as error:
                if item.statements or item.problems or error.reason == UNDECODABLE:
                    yield _rejected(error, payload)
                    yield from for_others(item, error.others)
                continue
            problems = (*item.problems, *who.problems)
            if item.statements or problems:
                item = replace(item, identifiers=who.identifiers, problems=problems)
                yield item
                yield from for_others(item, who.others)

    def _refusals(self, message: Message, payload: Payload) -> Iterator[PatientStatements]:
        """What refuses in a message that may not be meant for us, and nothing else of it."""
        for one in self._asides(message, payload):
            if isinstance(one, PatientStatements):
                yield from for_others(one, one.identifiers[:1])

    def _aside(self, message: Message, payload: Payload, who: Subject | None = None) -> PatientStatements:
        """Protection, death and the site's own rules; never demographics, which come in an update, and nothing is taken back."""
        item = self._statements(message, payload, present=True, who=who)
        stated = {name: one for name, one in item.statements.items() if one.value is not None and base(name) not in DEMOGRAPHICS}
        problems = tuple(one for one in item.problems if base(one.attribute) not in DEMOGRAPHICS)
        unread = {one.attribute for one in problems}
        codes = {name: one for name, one in item.codes.items() if name in stated or one.silent or name in unread}
        return replace(item, statements=stated, problems=problems, codes=codes, later=())

    def _deleted(self, message: Message, payload: Payload) -> PatientStatements:
        """The record is not active any more."""
        item = self._aside(message, payload)
        return replace(item, statements={**item.statements, ACTIVE: Statement(False, "MSH-9.2")})

    def _statements(self, message: Message, payload: Payload, *, present: bool = False, who: Subject | None = None) -> PatientStatements:
        """``present``: rules say nothing about what the message does not have, since its kind need not have it. ``who`` it is about, where
        that is known.
        """
        today = payload.received.date()
        pids = self._pids(message, today)
        pid = pids[0]
        statements: dict[str, Statement] = {}
        problems: list[Problem] = []
        codes: Read = {}
        effective, version, late = self._stated_at(message, pid[33], payload)
        problems += late
        heard = self._read_telecoms(message, pid, today, statements, problems)
        if pid[15]:
            demographics.read_language(message, pid[15], statements, problems, self._languages)
        for one in pids:
            if one[29] or one[30]:
                demographics.read_death(message, one[29], one[30], statements, problems)
        if self._keep_names and pid[5]:
            demographics.read_name(message, pid[5], statements, problems)
        protection = message.field("PD1", 12)
        if protection:
            demographics.read_flag(message, RESTRICTED, protection, "PD1-12", statements, problems)
        self._site.apply(message, statements, problems, codes, present=present)
        if message.odd or message.strange:
            torn.leave_unread(self._site.unread(message), statements, problems, codes)
        statements |= {name: Statement(DENIED, path) for name, path in heard.refused}
        restricted = RESTRICTED in statements and statements[RESTRICTED].value is True
        if restricted or (problems and any(one.attribute == RESTRICTED for one in problems)):
            statements = {name: one for name, one in statements.items() if one.value is not None}
        who = self._patient(message, pid, today) if who is None else who
        problems += who.problems
        return PatientStatements(
            who.identifiers,
            statements,
            effective,
            _evidence(message, payload),
            version,
            restricted,
            tuple(problems),
            payload.locator,
            codes,
            self.mapping,
            later=tuple(later(message, heard.turns, self._telecoms)) if heard.turns else (),
            content=hashlib.blake2b(payload.body, digest_size=5).hexdigest(),
        )

    def _pids(self, message: Message, today: date) -> list[list[str]]:
        """The PID segments of the one patient that the message is about, padded. Their own identifier tells, whatever else differs."""
        found = message.segments("PID")
        if not found:
            raise UnusableMessage("patient_segment_missing", NO_PID, "PID")
        if len(found) > 1:
            found = [one for one in found if any(one[2:])][:1] or found[:1]
            others = [one for one in message.segments("PID") if not merge.is_same_patient(found[0], one)]
            if others and not merge.are_one(message, [*found, *others], self._identifiers, today):
                raise UnusableMessage(
                    "several_patients", "the message has more than one PID segment, but its event is about one patient", "PID"
                )
            found += others
        return [one + _PADDING[len(one) :] for one in found]

    def _patient(self, message: Message, pid: list[str], today: date) -> Subject:
        found = merge.patient(message, pid, self._identifiers, today)
        return found._replace(problems=(*found.problems, _SEVERAL)) if found.others else found

    def _with_others(self, message: Message, item: PatientStatements, payload: Payload) -> list[Item]:
        return [item, *self._others(message, item, payload)]

    def _others(self, message: Message, item: PatientStatements, payload: Payload) -> list[PatientStatements]:
        """What refuses, for each further own identifier of the message."""
        if not any(one.reason == SEVERAL_OWN for one in item.problems):
            return []
        today = payload.received.date()
        return for_others(item, merge.patient(message, self._pids(message, today)[0], self._identifiers, today).others)

    def _read_telecoms(
        self, message: Message, pid: list[str], today: date, statements: dict[str, Statement], problems: list[Problem]
    ) -> TelecomRemarks:
        preferred: list[tuple[int, str, str]] = []
        refused: list[tuple[str, str]] = []
        turns: list[Turning] = []
        wrong: set[str] = set()
        for number, path, kind, phones, emails in TELECOMS:
            field = pid[number]
            if not field:
                continue
            if field == DELETE:
                statements[phones] = statements[emails] = Statement(None, path)
                continue
            found = self._telecoms.read(message, field, path, kind, today)
            if found.states_phones:  # the list sent is the whole list: what it leaves out is taken back
                statements[phones] = Statement(found.numbers or None, path)
            if found.states_emails:
                statements[emails] = Statement(found.emails or None, path)
            preferred += found.preferred
            refused += found.refused
            wrong |= found.wrong
            problems += found.problems
            turns += [Turning(day, path, one, field, kind) for day, one in found.turns if one not in self._ruled]
        agree(statements, wrong)
        if self._first_is_preferred:
            self._read_first(message, pid[13], today, statements)
        elif preferred:
            _read_preferred(preferred, statements)
        return TelecomRemarks(tuple(refused), tuple(sorted(turns)[:MOST_DAYS]))

    def _read_first(self, message: Message, field: str, today: date, statements: dict[str, Statement]) -> None:
        """The primary number is the first repetition of PID-13; an empty one before others is a primary number that was not sent."""
        first = field.split(message.delimiters.repetition, 1)[0]
        phones = self._telecoms.read(message, first, "PID-13", "home", today).phones if first and first != DELETE else ()
        if phones:
            statements[PREFERRED_PHONE] = Statement(phones[0].number, "PID-13[1]")

    def _stated_at(self, message: Message, updated: str, payload: Payload) -> StatedAt:
        return stated_at.read(message, updated, self._zone, payload.received, payload.undated, self._time_from)


def _rejected(error: UnusableMessage, payload: Payload) -> Unmappable:
    return Unmappable(error.reason, error.detail, payload.locator, payload.body, error.path)


def _added(item: PatientStatements) -> PatientStatements:
    """A person who is added is active, also after a deletion; unless a rule of the site says otherwise."""
    return replace(item, statements={ACTIVE: Statement(True, "MSH-9.2"), **item.statements})


def _evidence(message: Message, payload: Payload) -> str:
    """The control id; without one a hash of the content, so that the message can still be told from others."""
    try:
        control = message.unescape(message.field("MSH", 10)).strip()
    except UnusableMessage:
        control = ""
    return control if control and control != DELETE else f"sha256:{hashlib.sha256(payload.body).hexdigest()[:16]}"


def _read_preferred(preferred: Sequence[tuple[int, str, str]], statements: dict[str, Statement]) -> None:
    """XTN.18. Its scope may be a type of number only, so two different numbers at the top leave the matter open."""
    top = min(preferred)[0]
    first = [one for one in preferred if one[0] == top]
    if len({number for _, number, _ in first}) == 1:
        statements[PREFERRED_PHONE] = Statement(first[0][1], first[0][2])
