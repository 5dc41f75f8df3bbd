"""Lists of patient identifiers (CX): PID-3, MRG-1. Pure.

Source: HL7 v2.9 chapter 2A, data types CX and HD; table 0203 for the types. A value alone does not identify a patient: the same MRN of
two authorities is two patients (github.com/microsoft/FHIR-Converter issue 243, github.com/dcm4che/dcm4chee-arc-light issue 4920). So an
identifier without an assigning authority is used only if the source configures its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple

from adapters.base import SourceSettings
from adapters.hl7v2 import timestamp
from adapters.hl7v2.errors import UnusableMessage
from adapters.hl7v2.reader import DELETE, Message
from adapters.mapping.identifiers import best_guess, describe, is_placeholder, one_each
from store.preference import OID, Identifier, Problem, issuer

# Types (table 0203) by which an EMR identifies a person.
PATIENT_TYPES = frozenset({"", "MR", "MRN", "PI", "PT", "U", "EPI", "NI", "PN"})
# Accounts and visits identify something else. Social security, licence and insurance numbers are mistyped and shared within families, so
# linking patients by them would link strangers. Other types are used only if there is no better identifier.
ACCOUNTS = ("AN", "ANC", "ANT", "VN", "AC", "ACSN")
GOVERNMENT_NUMBERS = ("SS", "SSN", "DL", "PPN", "TAX", "TN", "BR")
PAYERS = ("MA", "MB", "MC", "NIIP", "HC", "SN", "GN", "BC", "CC")
NEVER = frozenset((*ACCOUNTS, *GOVERNMENT_NUMBERS, *PAYERS, "XX", "XV"))
IN_PID = (("PID-3", 3), ("PID-2", 2), ("PID-4", 4))
IN_MRG = (("MRG-1", 1), ("MRG-4", 4), ("MRG-2", 2))
MOST_KINDS = 10_000
NO_PATIENT = "does not identify a patient"


class MessageSubject(NamedTuple):
    """The patient of a list of identifiers, own ones first. ``others`` have the same authority and type, so they are other patients.

    ``problems`` are further identifiers that cannot be read.
    """

    identifiers: tuple[Identifier, ...]
    others: tuple[Identifier, ...] = ()
    problems: tuple[Problem, ...] = ()


class _Kind(NamedTuple):
    """What authority and type make of an identifier. ``code`` is its type as received, ``type`` as it is used."""

    authority: str
    code: str
    type: str
    is_usual: bool
    is_patient: bool


class _Cx(NamedTuple):
    """One repetition. ``flaw`` is why it is not usable (``ended``, ``placeholder``, :data:`NO_PATIENT`), or empty."""

    identifier: Identifier
    is_usual: bool
    flaw: str


class IdentifierReader:
    """Reads lists of identifiers as configured for one source, with the source's own patient identifier first."""

    def __init__(self, settings: SourceSettings) -> None:
        self._settings = settings
        self._issuers = settings.authorities
        self._authority = settings.own_authority
        self._own_types = {kind.casefold(): kind for kind in settings.identifier_types}
        self._type = next(iter(settings.identifier_types), "")
        self._usual = PATIENT_TYPES | {kind.upper() for kind in settings.identifier_types}
        self._by_universal_id = frozenset(name for name in settings.authorities.values() if _has_universal_id(name, settings.authorities))
        self._kinds: dict[tuple[str, str, str], _Kind] = {}

    def of_pid(self, message: Message, pid: Sequence[str], today: date) -> MessageSubject:
        """The patient of a PID segment: from PID-3, otherwise from PID-2 or PID-4, which older versions use. Raises as :meth:`_read`."""
        return self._read(message, pid, IN_PID, today)

    def of_mrg(self, message: Message, mrg: Sequence[str], today: date) -> MessageSubject:
        """The retired record of an MRG segment: from MRG-1, otherwise from MRG-4 or MRG-2. Raises as :meth:`_read`."""
        return self._read(message, mrg, IN_MRG, today, retired=True)

    def _read(
        self, message: Message, fields: Sequence[str], places: Sequence[tuple[str, int]], today: date, *, retired: bool = False
    ) -> MessageSubject:
        """The patient's identifiers, from the first place with a value.

        ``retired`` (for MRG) also accepts ended identifiers, and a record that is identified only by a linking identifier.
        Raises :class:`UnusableMessage`: patient_id_missing, identifier_without_authority, or undecodable if the first of the source's own
        identifiers cannot be read. ``others`` of that error are the other patients that the message is about.
        """
        path, field = _place(message, fields, places)
        found: list[_Cx] = []
        illegible: list[UnusableMessage] = []
        unreadable_own: UnusableMessage | None = None
        without_authority = False
        for number, repetition in enumerate(field.split(message.delimiters.repetition), 1):
            try:
                one = self._repetition(message, repetition, today)
            except UnusableMessage as error:
                illegible.append(error.at(f"{path}[{number}]"))
                is_first = retired or not self._own(_usable(found))[0]  # in MRG every identifier counts
                if unreadable_own is None and is_first and self._may_be_own(message, repetition, today):
                    unreadable_own = illegible[-1]
                continue
            if one is not None and not one.identifier.authority and one.flaw != NO_PATIENT:
                without_authority = True
            elif one is not None:
                found.append(one)
        usable = _usable(found, retired=retired)
        if len(usable) == 1 and not illegible and self._is_own(usable[0]):  # the usual case
            return MessageSubject((usable[0],))
        spare = [one.identifier for one in found if not one.is_usual and not one.flaw]
        own, others = self._own(usable or spare[:1])
        if not own and retired:
            own = [one for one in usable if self._settings.links(one.authority)]
        if unreadable_own is not None or (not own and illegible):
            raise (unreadable_own or illegible[0]).with_others((*own, *others))
        if not own:
            raise self._unusable(found, places[0][0], without_authority=without_authority and path == places[0][0])
        identifiers = tuple(dict.fromkeys([*own, *(one for one in usable if one not in others)]))
        return MessageSubject(identifiers, tuple(others), tuple([one.problem(one.path) for one in illegible]))

    def _may_be_own(self, message: Message, repetition: str, today: date) -> bool:
        """Whether an unreadable repetition may be the source's own identifier: its readable parts match, and it has not ended."""
        parts = repetition.split(message.delimiters.component)
        try:
            kind, authority = self._kind_and_issuer(message, parts)
        except UnusableMessage:
            return False
        is_over = len(parts) > 7 and _ended(parts[7], today)
        return not is_over and kind.upper() in self._usual and self._is_own(Identifier(authority, self._type_of(kind, authority), ""))

    def _repetition(self, message: Message, repetition: str, today: date) -> _Cx | None:
        parts = repetition.split(message.delimiters.component)
        value = (parts[0] if message.plain else message.unescape(parts[0])).strip()
        if not value or value == DELETE:
            return None
        kind = self._kind(message, parts)
        if not kind.is_patient:
            return _Cx(Identifier(kind.authority, kind.code, value), kind.is_usual, NO_PATIENT)
        flaw = "ended" if len(parts) > 7 and parts[7] and _ended(parts[7], today) else ""
        flaw = "placeholder" if is_placeholder(value, self._settings.placeholders) else flaw
        return _Cx(Identifier(kind.authority, kind.type, value), kind.is_usual, flaw)

    def _kind(self, message: Message, parts: list[str]) -> _Kind:
        """The meaning of components 4 and 5. A source writes few different ones, so each is worked out once."""
        if not message.plain:
            return self._new_kind(message, parts)
        key = (parts[3] if len(parts) > 3 else "", parts[4] if len(parts) > 4 else "", message.delimiters.subcomponent)
        known = self._kinds.get(key)
        if known is None:
            known = self._new_kind(message, parts)
            if len(self._kinds) < MOST_KINDS:
                self._kinds[key] = known
        return known

    def _new_kind(self, message: Message, parts: list[str]) -> _Kind:
        code, authority = self._kind_and_issuer(message, parts)
        is_usual = code.upper() in self._usual or self._settings.links(authority)
        return _Kind(authority, code, self._type_of(code, authority), is_usual, is_usual or code.upper() not in NEVER)

    def _kind_and_issuer(self, message: Message, parts: list[str]) -> tuple[str, str]:
        kind = message.unescape(parts[4]).strip() if len(parts) > 4 and parts[4] != DELETE else ""
        return kind, self._issuer(parts[3], message) if len(parts) > 3 and parts[3] else self._authority

    def _type_of(self, kind: str, authority: str) -> str:
        return self._own_types.get(kind.casefold(), kind) or (self._type if authority == self._authority else "")

    def _own(self, found: Sequence[Identifier]) -> tuple[list[Identifier], list[Identifier]]:
        """The source's own identifiers, one of each authority and type, and the rest of them."""
        if self._authority or self._type:
            own = [one for one in found if self._is_own(one)]
        else:
            first = best_guess(found)
            own = [one for one in found if first and (one.authority, one.type) == (first[0].authority, first[0].type)]
        return one_each(own)

    def _is_own(self, one: Identifier) -> bool:
        right = not self._authority or one.authority == self._authority or one.authority.casefold() == self._authority.casefold()
        return right and (not self._own_types or one.type.casefold() in self._own_types)

    def _unusable(self, found: Sequence[_Cx], path: str, *, without_authority: bool) -> UnusableMessage:
        received = describe([(one.identifier, one.flaw) for one in found], {*self._issuers.values(), self._authority})
        if self._authority or self._type:
            return UnusableMessage("patient_id_missing", f"no identifier matches 'patient_id' of this source{received}", path)
        if without_authority:
            detail = "the identifier has no assigning authority: set 'patient_id.authority' of this source"
            return UnusableMessage("identifier_without_authority", detail, path)
        return UnusableMessage("patient_id_missing", f"no patient identifier{received}", path)

    def _issuer(self, text: str, message: Message) -> str:
        return self._canonical([message.unescape(part).strip() for part in text.split(message.delimiters.subcomponent)])

    def _canonical(self, parts: list[str]) -> str:
        """The configured name of an HD (namespace & universal ID & its type), otherwise its universal ID, otherwise its namespace.

        If a namespace is configured with universal IDs, the same namespace with a different universal ID is another authority.
        """
        namespace, universal, kind = ("" if part == DELETE else part for part in (*parts, "", "")[:3])
        by_universal = self._named(universal)
        if by_universal:
            return by_universal
        by_namespace = self._named(namespace)
        if by_namespace and not (universal and by_namespace in self._by_universal_id):
            return by_namespace
        if universal:
            return universal if kind != "ISO" or universal.startswith(OID) else f"{OID}{universal}"
        return namespace or self._authority

    def _named(self, text: str) -> str:
        """The canonical name of a configured authority, or empty."""
        if not text:
            return ""
        found = issuer(self._issuers, text)
        if found.casefold() == self._authority.casefold():
            return self._authority
        return found if found in self._issuers.values() else ""


def _place(message: Message, fields: Sequence[str], places: Sequence[tuple[str, int]]) -> tuple[str, str]:
    """Path and text of the first of these fields with a value; otherwise of the first."""
    for path, number in places:
        if number < len(fields) and _holds_any(message, fields[number]):
            return path, fields[number]
    path, number = places[0]
    return path, fields[number] if number < len(fields) else ""


def _usable(found: Sequence[_Cx], *, retired: bool = False) -> list[Identifier]:
    return [one.identifier for one in found if one.is_usual and (not one.flaw or (retired and one.flaw == "ended"))]


def _has_universal_id(canonical: str, issuers: Mapping[str, str]) -> bool:
    """Whether an authority is configured with a universal ID (OID, URL or similar) in addition to plain names."""
    names = [canonical, *(name for name, known in issuers.items() if known == canonical)]
    return any("." in name or ":" in name for name in names)


def _holds_any(message: Message, field: str) -> bool:
    component = message.delimiters.component
    for one in field.split(message.delimiters.repetition):
        value = one.split(component, 1)[0].strip()
        if value and value != DELETE:
            return True
    return False


def _ended(text: str, today: date) -> bool:
    end = timestamp.day(text)
    return end is not None and end < today
