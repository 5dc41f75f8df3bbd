"""Lists of patient identifiers (CX): PID-3, MRG-1. Pure.

Source: HL7 v2.9 chapter 2A, data types CX and HD; table 0203 for the types. A value alone is nobody's: the same MRN of two
issuers is two patients, so an identifier without an assigning authority counts only where the source names its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple

from adapters.base import SourceSettings
from adapters.hl7v2 import timestamp
from adapters.hl7v2.delimiters import Delimiters
from adapters.hl7v2.errors import UnusableMessage
from adapters.hl7v2.reader import DELETE, Message
from adapters.mapping.identifiers import best_guess, described, is_placeholder, one_each
from store.preference import OID, Identifier, Problem, issuer

# Types that name a person to an EMR.
PATIENT_TYPES = frozenset({"", "MR", "MRN", "PI", "PT", "U", "EPI", "NI", "PN"})
# Accounts and visits name something else; social security, licence and insurance numbers are mistyped and shared within
# families, so joining patients by them would join strangers. Other types are read only where there is nothing better.
ACCOUNTS = ("AN", "ANC", "ANT", "VN", "AC", "ACSN")
NUMBERS_OF_THE_STATE = ("SS", "SSN", "DL", "PPN", "TAX", "TN", "BR")
PAYERS = ("MA", "MB", "MC", "NIIP", "HC", "SN", "GN", "BC", "CC")
NEVER = frozenset((*ACCOUNTS, *NUMBERS_OF_THE_STATE, *PAYERS, "XX", "XV"))
NO_PATIENT = "does not identify a patient"


class CxField(NamedTuple):
    """A field of a list of identifiers, and where it is."""

    path: str
    field: str


class Subject(NamedTuple):
    """Who a list is about: its own identifiers first. ``others`` are further ones of the same issuer and type: other patients.

    ``problems``: identifiers beside those that cannot be read.
    """

    identifiers: tuple[Identifier, ...]
    others: tuple[Identifier, ...] = ()
    problems: tuple[Problem, ...] = ()


class _Cx(NamedTuple):
    """One repetition. ``flaw``: why it identifies nobody (``ended``, ``placeholder``, :data:`NO_PATIENT`), or empty."""

    identifier: Identifier
    is_usual: bool
    flaw: str


class IdentifierReader:
    """Reads lists of identifiers the way one source is configured: its own patient identifier comes first."""

    def __init__(self, settings: SourceSettings) -> None:
        self._settings = settings
        self._issuers = settings.authorities
        self._authority = settings.own_authority
        self._own_types = {kind.casefold(): kind for kind in settings.identifier_types}
        self._type = next(iter(settings.identifier_types), "")
        self._usual = PATIENT_TYPES | {kind.upper() for kind in settings.identifier_types}
        self._by_universal_id = frozenset(name for name in settings.authorities.values() if _has_universal_id(name, settings.authorities))
        self._known: dict[tuple[str, Delimiters], str] = {}

    def read(self, message: Message, places: Sequence[CxField], today: date, *, retired: bool = False) -> Subject:
        """The patient's identifiers, from the first place that holds any. ``retired``: those that have ended count, and so does a record
        that is named by a linking identifier alone.

        Raises :class:`UnusableMessage`: patient_id_missing, identifier_without_authority; undecodable, where the first of the source's own
        ones cannot be read: whom of the others the message concerns as well is ``others`` of the error.
        """
        place = next((one for one in places if _holds_any(message, one.field)), places[0])
        found: list[_Cx] = []
        illegible: list[UnusableMessage] = []
        lost: UnusableMessage | None = None
        nameless = False
        for number, repetition in enumerate(place.field.split(message.delimiters.repetition), 1):
            try:
                one = self._repetition(message, repetition, today)
            except UnusableMessage as error:
                illegible.append(error.at(f"{place.path}[{number}]"))
                is_first = retired or not self._own(_usable(found))[0]  # of those that go, each is meant
                if lost is None and is_first and self._may_be_own(message, repetition, today):
                    lost = illegible[-1]
                continue
            if one is not None and not one.identifier.authority and one.flaw != NO_PATIENT:
                nameless = True
            elif one is not None:
                found.append(one)
        usable = _usable(found, retired=retired)
        spare = [one.identifier for one in found if not one.is_usual and not one.flaw]
        own, others = self._own(usable or spare[:1])
        if not own and retired:
            own = [one for one in usable if self._settings.links(one.authority)]
        if lost is not None or (not own and illegible):
            raise (lost or illegible[0]).beside((*own, *others))
        if not own:
            raise self._unusable(found, places[0].path, nameless=nameless and place is places[0])
        named = tuple(dict.fromkeys([*own, *(one for one in usable if one not in others)]))
        return Subject(named, tuple(others), tuple([one.problem(one.path) for one in illegible]))

    def _may_be_own(self, message: Message, repetition: str, today: date) -> bool:
        """Whether a repetition that cannot be read is, by all that can be read of it, the source's own identifier, in use."""
        parts = repetition.split(message.delimiters.component)
        try:
            kind, authority = self._kind_and_issuer(message, parts)
        except UnusableMessage:
            return False
        is_over = len(parts) > 7 and _ended(parts[7], today)
        return not is_over and kind.upper() in self._usual and self._is_own(Identifier(authority, self._type_of(kind, authority), ""))

    def _repetition(self, message: Message, repetition: str, today: date) -> _Cx | None:
        parts = repetition.split(message.delimiters.component)
        value = message.unescape(parts[0]).strip()
        if not value or value == DELETE:
            return None
        kind, authority = self._kind_and_issuer(message, parts)
        usual = kind.upper() in self._usual or self._settings.links(authority)
        if not usual and kind.upper() in NEVER:
            return _Cx(Identifier(authority, kind, value), usual, NO_PATIENT)
        flaw = "ended" if len(parts) > 7 and parts[7] and _ended(parts[7], today) else ""
        flaw = "placeholder" if is_placeholder(value, self._settings.placeholders) else flaw
        return _Cx(Identifier(authority, self._type_of(kind, authority), value), usual, flaw)

    def _kind_and_issuer(self, message: Message, parts: list[str]) -> tuple[str, str]:
        kind = message.unescape(parts[4]).strip() if len(parts) > 4 and parts[4] != DELETE else ""
        return kind, self._issuer(parts[3], message) if len(parts) > 3 and parts[3] else self._authority

    def _type_of(self, kind: str, authority: str) -> str:
        return self._own_types.get(kind.casefold(), kind) or (self._type if authority == self._authority else "")

    def _own(self, found: Sequence[Identifier]) -> tuple[list[Identifier], list[Identifier]]:
        """The source's own identifiers, one of each issuer and type, and the others of them."""
        if self._authority or self._type:
            own = [one for one in found if self._is_own(one)]
        else:
            first = best_guess(found)
            own = [one for one in found if first and (one.authority, one.type) == (first[0].authority, first[0].type)]
        return one_each(own)

    def _is_own(self, one: Identifier) -> bool:
        right = not self._authority or one.authority == self._authority or one.authority.casefold() == self._authority.casefold()
        return right and (not self._own_types or one.type.casefold() in self._own_types)

    def _unusable(self, found: Sequence[_Cx], path: str, *, nameless: bool) -> UnusableMessage:
        came = described([(one.identifier, one.flaw) for one in found], {*self._issuers.values(), self._authority})
        if self._authority or self._type:
            return UnusableMessage("patient_id_missing", f"no identifier matches 'patient_id' of this source{came}", path)
        if nameless:
            detail = "the identifier has no assigning authority: set 'patient_id.authority' of this source"
            return UnusableMessage("identifier_without_authority", detail, path)
        return UnusableMessage("patient_id_missing", f"no patient identifier{came}", path)

    def _issuer(self, text: str, message: Message) -> str:
        known = self._known.get((text, message.delimiters))
        if known is None:
            known = self._canonical([message.unescape(part).strip() for part in text.split(message.delimiters.subcomponent)])
            if len(self._known) < 10_000:
                self._known[(text, message.delimiters)] = known
        return known

    def _canonical(self, parts: list[str]) -> str:
        """The configured name of an HD (namespace & universal id & its type), else its universal id, else its namespace.

        A namespace that is configured with universal ids of its own is another issuer beside another universal id.
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
        """The configured issuer of that name, or empty."""
        if not text:
            return ""
        found = issuer(self._issuers, text)
        if found.casefold() == self._authority.casefold():
            return self._authority
        return found if found in self._issuers.values() else ""


def _usable(found: Sequence[_Cx], *, retired: bool = False) -> list[Identifier]:
    return [one.identifier for one in found if one.is_usual and (not one.flaw or (retired and one.flaw == "ended"))]


def _has_universal_id(canonical: str, issuers: Mapping[str, str]) -> bool:
    """Whether an issuer is configured with an OID, a URL or the like, beside plain names."""
    names = [canonical, *(name for name, known in issuers.items() if known == canonical)]
    return any("." in name or ":" in name for name in names)


def _holds_any(message: Message, field: str) -> bool:
    component = message.delimiters.component
    values = (one.split(component, 1)[0].strip() for one in field.split(message.delimiters.repetition))
    return any(value and value != DELETE for value in values)


def _ended(text: str, today: date) -> bool:
    end = timestamp.day(text)
    return end is not None and end < today
