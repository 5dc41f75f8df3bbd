"""What one patient's segments state: standard fields of PID and PD1, then the site's rules. Pure.

Source: HL7 v2.9 chapter 3; v2-to-FHIR for phones and death. A rule of the site replaces the standard reading of its attribute. An empty
field is no statement, ``""`` takes a statement back, but not of a record under protection (PD1-12).
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import date
from functools import lru_cache
from zoneinfo import ZoneInfo

from adapters.base import Payload, SourceSettings
from adapters.hl7v2 import demographics, merge, stated_at, torn
from adapters.hl7v2.contact import PatientTelecoms, later
from adapters.hl7v2.cx import IdentifierReader, MessageSubject
from adapters.hl7v2.errors import UnusableMessage
from adapters.hl7v2.path import compile_path
from adapters.hl7v2.reader import DELETE, Message
from adapters.hl7v2.site_rules import SiteRules
from adapters.hl7v2.stated_at import StatedAt
from adapters.mapping.contact_tables import ContactTables
from adapters.mapping.identifiers import SEVERAL_OWN, SEVERAL_OWN_DETAIL
from adapters.mapping.language import Languages
from adapters.mapping.rules import Read, fingerprint
from adapters.options import listed
from store.preference import (
    BIRTH_DATE,
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
)

DEMOGRAPHICS = frozenset({PHONES, EMAIL, PREFERRED_PHONE, LANGUAGE, DISPLAY_NAME, BIRTH_DATE})
PID_WIDTH = 41
_PADDING = [""] * PID_WIDTH
_SEVERAL = Problem(SEVERAL_OWN, "PID-3", SEVERAL_OWN_DETAIL)
NO_PID = "the message has no PID segment"
SEVERAL_PATIENTS = "the message has more than one PID segment, but its event is about one patient"
Stated = dict[str, Statement]


class PatientMapper:
    """Reads the patients of one source's messages. Building it raises ``MappingError`` for a rule that cannot be compiled."""

    def __init__(self, settings: SourceSettings) -> None:
        self.identifiers = IdentifierReader(settings)
        self.mapping = fingerprint(settings.mapping, *settings.codes)
        self.tables, self.languages = ContactTables(settings.contact), Languages(settings.languages)
        self.rules = SiteRules(settings.mapping, compile_path, settings.default_region, self.tables, self.languages)
        self._telecoms = PatientTelecoms(settings, self.tables, self.rules.paths)
        self._time_from = tuple(listed(settings.options, "time_from")) or stated_at.ORDER
        self._zone = ZoneInfo(settings.time_zone)
        self._keep_names, self._keep_birth_dates = settings.keep_names, settings.keep_birth_dates

    def read(
        self, message: Message, payload: Payload, *, present: bool = False, subject: MessageSubject | None = None
    ) -> PatientStatements:
        """``present``: rules say nothing about what the message does not have, since its kind need not have it. ``subject`` is whom it is
        about, where that is known. Raises :class:`UnusableMessage`.
        """
        today = payload.received.date()
        pids = self.pids(message, today)
        pid, codes = pids[0], Read()
        effective, version, late = self.stated_at(message, payload, pid[33])
        statements: Stated = {}
        problems = [*late]
        remarks = self._telecoms.read(message, pid, today, statements, problems)
        self._demographics(message, pids, today, statements, problems)
        self._apply_rules(message, statements, problems, codes, present=present)
        if problems and LANGUAGE in statements:  # a rule read it elsewhere
            problems = [one for one in problems if (one.path, one.attribute) != ("PID-15", LANGUAGE)]
        if remarks.refused:
            statements |= {name: Statement(DENIED, path) for name, path in remarks.refused}
        restricted = RESTRICTED in statements and statements[RESTRICTED].value is True
        if restricted or (problems and any(one.attribute == RESTRICTED for one in problems)):
            statements = {name: one for name, one in statements.items() if one.value is not None}
        subject = self.subject(message, pid, today) if subject is None else subject
        return PatientStatements(
            subject.identifiers,
            statements,
            effective,
            evidence(message, payload),
            version,
            restricted,
            (*problems, *subject.problems),
            payload.locator,
            codes,
            self.mapping,
            later=tuple(later(message, remarks.turns, self._telecoms.reader)) if remarks.turns else (),
            content=_content(payload.body),
        )

    def read_contact(self, message: Message, payload: Payload, subject: MessageSubject | None = None) -> PatientStatements:
        """Protection, death and the site's own rules; never demographics, which come in an update, and nothing is taken back."""
        item = self.read(message, payload, present=True, subject=subject)
        stated = {name: one for name, one in item.statements.items() if one.value is not None and base(name) not in DEMOGRAPHICS}
        problems = tuple(one for one in item.problems if base(one.attribute) not in DEMOGRAPHICS)
        unread = {one.attribute for one in problems}
        codes = {name: one for name, one in item.codes.items() if name in stated or one.silent or name in unread}
        return replace(item, statements=stated, problems=problems, codes=codes, later=())

    def pids(self, message: Message, today: date) -> list[list[str]]:
        """The PID segments of the one patient that the message is about, padded. Their own identifier tells, whatever else differs."""
        found = message.segments("PID")
        if not found:
            raise UnusableMessage("patient_segment_missing", NO_PID, "PID")
        if len(found) > 1:
            found = [one for one in found if any(one[2:])][:1] or found[:1]
            others = [one for one in message.segments("PID") if not merge.is_same_patient(found[0], one)]
            if others and not merge.are_one(message, [*found, *others], self.identifiers, today):
                raise UnusableMessage("several_patients", SEVERAL_PATIENTS, "PID")
            found += others
        return [one + _PADDING[len(one) :] for one in found]

    def subject(self, message: Message, pid: list[str], today: date) -> MessageSubject:
        """Whom a PID segment is about."""
        found = self.identifiers.of_pid(message, pid, today)
        return found._replace(problems=(*found.problems, _SEVERAL)) if found.others else found

    def stated_at(self, message: Message, payload: Payload, updated: str = "") -> StatedAt:
        """When the message was stated; ``updated`` is PID-33."""
        return stated_at.read(message, payload, updated, self._zone, self._time_from)

    def _demographics(self, message: Message, pids: list[list[str]], today: date, statements: Stated, problems: list[Problem]) -> None:
        pid = pids[0]
        if pid[15]:
            demographics.read_language(message, pid[15], statements, problems, self.languages)
        for one in pids:
            if one[29] or one[30]:
                demographics.read_death(message, one[29], one[30], statements, problems)
        if self._keep_names and pid[5]:
            demographics.read_name(message, pid[5], statements, problems)
        if self._keep_birth_dates and pid[7]:
            demographics.read_birth_date(message, pid[7], today, statements, problems)
        protection = message.field("PD1", 12)
        if protection:
            demographics.read_flag(message, RESTRICTED, protection, "PD1-12", statements, problems)

    def _apply_rules(self, message: Message, statements: Stated, problems: list[Problem], codes: Read, *, present: bool) -> None:
        self.rules.apply(message, statements, problems, codes, present=present)
        unread = self.rules.unread(message)
        if unread:
            torn.leave_unread(unread, statements, problems, codes)


@lru_cache(maxsize=1)
def _content(body: bytes) -> str:
    """A hash of the body, computed once for a message about many patients."""
    return hashlib.blake2b(body, digest_size=5).hexdigest()


def evidence(message: Message, payload: Payload) -> str:
    """The control id; without one a hash of the content, so that the message can still be told from others."""
    try:
        control = message.unescape(message.header[10]).strip()
    except UnusableMessage:
        control = ""
    return control if control and control != DELETE else f"sha256:{hashlib.sha256(payload.body).hexdigest()[:16]}"
