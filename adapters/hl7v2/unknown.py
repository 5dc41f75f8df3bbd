"""The codes of a message that its source does not know: in tables of rules, of contacts and of languages, and in its own segments. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from adapters.base import UnknownCode
from adapters.hl7v2 import explain
from adapters.hl7v2.reader import Message
from adapters.hl7v2.site_rules import SiteRules
from adapters.mapping import language
from adapters.mapping.contact_tables import ContactTables
from adapters.mapping.language import Languages

CONSENTS = ("PD1-11", "CON-2", "CON-11")
"""Standard fields that hold codes about contact, and that are read only by rules: publicity, consent type, consent status."""
INDEX = re.compile(r"\[\d+\]")
TELECOMS = (13, 14, 40)
LIST_OF_PID = 3
PERSONAL = {
    "PID": (2, 3, 4, 5, 6, 9, 11, 18, 19),
    "NK1": (2, 4),
    "GT1": (3, 4, 5),
    "IN1": (16, 19),
}
"""Fields with names, addresses and identifiers of the patient and relatives. What repeats them elsewhere is no code."""
TOO_SHORT = 2


def codes(message: Message, rules: SiteRules, tables: ContactTables, languages: Languages) -> list[UnknownCode]:
    """Every code once, however often it occurs."""
    found = [*_of_rules(message, rules), *_unread(message, rules), *_contacts(message, tables), *_languages(message, languages)]
    personal = _personal(message) if found else frozenset()
    return list(dict.fromkeys(one._replace(code="") if one.code.casefold() in personal else one for one in found))


def identifiers(message: Message) -> list[UnknownCode]:
    """The authorities and types of the identifiers in PID-3, for a message whose patient could not be identified."""
    repetitions = message.field("PID", LIST_OF_PID).split(message.delimiters.repetition)
    parts = [(one.split(message.delimiters.component) + [""] * 5)[:5] for one in repetitions if one]
    named = [(one[3].split(message.delimiters.subcomponent)[0], one[4]) for one in parts]
    return list(dict.fromkeys(UnknownCode("patient_id", "PID-3", f"{authority}|{kind}") for authority, kind in named if authority))


def _of_rules(message: Message, rules: SiteRules) -> Iterator[UnknownCode]:
    for attribute, path, code in rules.unknown(message):
        yield UnknownCode("mapping", path, code, attribute)


def _unread(message: Message, rules: SiteRules) -> Iterator[UnknownCode]:
    """Fields of the site's own segments, and of consent, that no rule reads. Without a component a rule reads the first one."""
    for path, text in explain.unused(message, rules.paths):
        field = _field(path)
        if field.startswith("Z") or field.partition(".")[0] in CONSENTS:
            for repetition in text.split(message.delimiters.repetition):
                code = repetition.split(message.delimiters.component)[0].strip()
                if code and not _is_set_id(field, code):
                    yield UnknownCode("mapping", field, code)


def _field(path: str) -> str:
    """The path without the numbers of segments and repetitions: ``ZCP[2]-3[1].2`` -> ``ZCP-3.2``."""
    return INDEX.sub("", path)


def _is_set_id(field: str, code: str) -> bool:
    """Whether it only numbers the segments: the first field, by HL7's custom."""
    return field.endswith("-1") and code.isdecimal()


def _personal(message: Message) -> frozenset[str]:
    texts = [fields[at] for name, numbers in PERSONAL.items() for fields in message.segments(name) for at in numbers if at < len(fields)]
    for delimiter in (message.delimiters.repetition, message.delimiters.component, message.delimiters.subcomponent):
        texts = [part for text in texts for part in text.split(delimiter)]
    return frozenset(part.strip().casefold() for text in texts for part in (text, *text.split()) if len(part.strip()) > TOO_SHORT)


def _contacts(message: Message, tables: ContactTables) -> Iterator[UnknownCode]:
    for at in TELECOMS:
        for repetition in message.field("PID", at).split(message.delimiters.repetition):
            use, equipment = ([part.strip() for part in repetition.split(message.delimiters.component)] + ["", "", ""])[1:3]
            if use and not tables.knows_use(use):
                yield UnknownCode("contact.use", f"PID-{at}.2", use)
            if equipment and not tables.knows_equipment(equipment):
                yield UnknownCode("contact.equipment", f"PID-{at}.3", equipment)


def _languages(message: Message, languages: Languages) -> Iterator[UnknownCode]:
    first = message.field("PID", 15).split(message.delimiters.repetition)[0]
    parts: Sequence[str] = ([part.strip() for part in first.split(message.delimiters.component)] + [""] * 6)[:6]
    if languages.coded(*parts[:3]) or languages.coded(*parts[3:6]):
        return
    code = parts[0] or parts[3] or parts[1]
    if code and not any(language.is_declined(part) for part in (*parts[:2], *parts[3:5]) if part):
        yield UnknownCode("languages", "PID-15", code)
