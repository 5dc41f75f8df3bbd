"""Lists of patient identifiers (CX): PID-3, MRG-1. Pure.

Source: HL7 v2.9 chapter 2A, data types CX and HD; table 0203 for the types. A value alone is nobody's: the same MRN of two
issuers is two patients, so an identifier without an assigning authority counts only where the source names its own.
"""

from __future__ import annotations

from datetime import date

from adapters.base import SourceSettings
from adapters.hl7v2 import timestamp
from adapters.hl7v2.reader import DELETE, Delimiters, Message, Unusable
from store.preference import Identifier

# Types that name a person to an EMR.
PATIENT_TYPES = frozenset({"", "MR", "MRN", "PI", "PT", "U", "EPI", "NI", "PN"})
# Accounts and visits name something else; social security, licence and insurance numbers are mistyped and shared within
# families, so joining patients by them would join strangers. Other types are read only where there is nothing better.
ACCOUNTS = ("AN", "ANC", "ANT", "VN", "AC", "ACSN")
NUMBERS_OF_THE_STATE = ("SS", "SSN", "DL", "PPN", "TAX", "TN", "BR")
PAYERS = ("MA", "MB", "MC", "NIIP", "HC", "SN", "GN", "BC", "CC")
NEVER = frozenset((*ACCOUNTS, *NUMBERS_OF_THE_STATE, *PAYERS, "XX", "XV"))


class IdentifierReader:
    """Reads lists of identifiers the way one source is configured: its own patient identifier comes first."""

    def __init__(self, settings: SourceSettings) -> None:
        self._aliases = settings.authorities
        self._authority = settings.authorities.get(settings.authority, settings.authority)
        self._type = settings.identifier_type
        self._types = PATIENT_TYPES | {settings.identifier_type}
        self._known: dict[tuple[str, Delimiters], str] = {}

    def read(self, message: Message, field: str, path: str, today: date) -> tuple[Identifier, ...]:
        """The patient's identifiers. Raises :class:`Unusable`: patient_id_missing, identifier_without_authority."""
        found: list[Identifier] = []
        spare: list[Identifier] = []
        nameless = False
        component = message.delimiters.component
        for repetition in field.split(message.delimiters.repetition):
            parts = repetition.split(component)
            value = message.unescape(parts[0]).strip()
            if not value or value == DELETE:
                continue
            kind = message.unescape(parts[4]).strip() if len(parts) > 4 and parts[4] != DELETE else ""
            usual = kind in self._types
            if (not usual and kind in NEVER) or (len(parts) > 7 and parts[7] and _ended(parts[7], today)):
                continue
            authority = self._issuer(parts[3], message) if len(parts) > 3 and parts[3] else self._authority
            if authority:
                (found if usual else spare).append(
                    Identifier(authority, kind or (self._type if authority == self._authority else ""), value)
                )
            else:
                nameless = True
        return self._ordered(found or spare[:1], path, nameless)

    def plain(self, message: Message, field: str) -> tuple[Identifier, ...]:
        """An identifier of HL7 2.1 and 2.2 (PID-2), whose issuer is known by configuration only; else empty."""
        value = message.unescape(field.split(message.delimiters.component)[0]).strip()
        return (Identifier(self._authority, self._type, value),) if self._authority and value and value != DELETE else ()

    def _ordered(self, found: list[Identifier], path: str, nameless: bool) -> tuple[Identifier, ...]:
        if self._authority or self._type:
            own = [one for one in found if self._is_own(one)]
            if not own:
                detail = "none of the identifiers is the one that 'patient_id' of this source names"
                raise Unusable("patient_id_missing", detail, path)
            return tuple(dict.fromkeys((*own, *found)))
        if not found:
            if nameless:
                detail = "the identifier does not say who issued it: set 'patient_id.authority' of this source"
                raise Unusable("identifier_without_authority", detail, path)
            raise Unusable("patient_id_missing", "there is no identifier of a patient here", path)
        return tuple(dict.fromkeys(found))

    def _is_own(self, one: Identifier) -> bool:
        return (not self._authority or one.authority == self._authority) and (not self._type or one.type == self._type)

    def _issuer(self, text: str, message: Message) -> str:
        known = self._known.get((text, message.delimiters))
        if known is None:
            known = self._canonical([message.unescape(part).strip() for part in text.split(message.delimiters.subcomponent)])
            if len(self._known) < 10_000:
                self._known[(text, message.delimiters)] = known
        return known

    def _canonical(self, parts: list[str]) -> str:
        """The configured name of an HD (namespace & universal id & its type), else its most telling part."""
        namespace, universal, kind = ("" if part == DELETE else part for part in (*parts, "", "")[:3])
        names = [name for name in (namespace, universal, f"urn:oid:{universal}" if universal else "") if name]
        for name in (*names, namespace.removeprefix("urn:oid:"), universal.removeprefix("urn:oid:"), f"urn:oid:{namespace}"):
            if name in self._aliases:
                return self._aliases[name]
        if self._authority in names:
            return self._authority
        return namespace or (f"urn:oid:{universal}" if kind == "ISO" else universal) or self._authority


def _ended(text: str, today: date) -> bool:
    end = timestamp.day(text)
    return end is not None and end < today
