"""A site's own rules, applied to a message: attributes whose text needs reading (phones, e-mail, language) included. Pure.

Consent at each number: rules that end in ``#*`` read beside the numbers of PID-13, PID-14 and PID-40. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from adapters.hl7v2 import look_alike
from adapters.hl7v2.path import Path, parse
from adapters.hl7v2.reader import Message
from adapters.hl7v2.xtn import TelecomReader
from adapters.mapping import contact_tables, language, partial, telecom
from adapters.mapping.contact_tables import ContactTables
from adapters.mapping.refusals import refusal
from adapters.mapping.site_rules import EACH, CompilePath, FoundValue, MappingError, Read, Rule, compile_mapping
from store.preference import EMAIL, LANGUAGE, PHONES, PREFERRED_PHONE, RESTRICTED, Codes, Phone, PhoneKind, Problem, Statement, base

FIELDS = (13, 14, 40)
PLACE = re.compile(r"PID(?:\[(\d+)\])?-(\d+)(?:\[(\d+)\])?")


class EachNumber:
    """The rules of one source that are read number by number. Raises ``MappingError`` for a path that is beside no number."""

    def __init__(self, rules: Sequence[Rule], telecoms: TelecomReader) -> None:
        self._rules = [rule for rule in rules if rule.attribute.endswith(EACH)]
        self._telecoms = telecoms
        for rule in self._rules:
            for path in map(parse, rule.paths):
                if path.segment != "PID" or path.field not in FIELDS or path.component is None:
                    raise MappingError(rule.attribute, "has no number: read a component of PID-13, PID-14 or PID-40, like PID-13.9")

    def apply(self, message: Message, problems: list[Problem], codes: Read) -> dict[str, Statement]:
        """What is stated for each number. What refuses at a number that cannot be read is a problem of the consent for all numbers."""
        stated: dict[str, Statement] = {}
        for rule in self._rules:
            stated |= partial.at_each(rule, message, lambda path: self._number(message, path), problems, codes)
        return stated

    def _number(self, message: Message, path: str) -> str | None:
        """The number that a path is beside; empty where none can be read."""
        place = PLACE.match(path)
        if place is None:
            return None
        field = message.segments("PID")[int(place[1] or 1) - 1][int(place[2])]
        text = field.split(message.delimiters.repetition)[int(place[3] or 1) - 1]
        return self._telecoms.number(message, text) or ""


_KINDS = frozenset(kind.value for kind in PhoneKind)


class SiteRules:
    """The compiled rules of one source. Raises ``MappingError`` for one that is wrong."""

    def __init__(
        self,
        mapping: Mapping[str, Mapping[str, Any]],
        compile_path: CompilePath,
        region: str | None,
        tables: ContactTables | None = None,
        languages: language.Languages | None = None,
    ) -> None:
        self._rules = compile_mapping(mapping, compile_path)
        self._region = region
        self._tables, self._languages = tables or contact_tables.standard(), languages or language.STANDARD
        # A number that is preferred may be one of the phones, so it is read last.
        ordered = sorted(self._rules, key=lambda rule: rule.attribute == PREFERRED_PHONE)
        self._steps = tuple((rule, base(rule.attribute) in _READ) for rule in ordered if not rule.attribute.endswith(EACH))
        self._each = EachNumber(self._rules, TelecomReader(region, self._tables))
        self._readers = _readers([*self.paths_by_attribute(), (RESTRICTED, parse("PD1-12"))])
        self._segments = frozenset(path.segment for path in self.paths)

    def paths_by_attribute(self) -> list[tuple[str, Path]]:
        """Every place that is read, with the attribute."""
        return [(base(rule.attribute), parse(path)) for rule in self._rules for path in rule.paths]

    def unread(self, message: Message) -> dict[str, str]:
        """Attributes that can refuse, each with the segment it is read from, where a line may be that segment with its name spoiled."""
        lines = [(line, line.partition(message.delimiters.field)[0][: look_alike.LONGEST]) for line in message.odd]
        found: dict[str, str] = {}
        for segment, shape, attributes in self._readers:
            is_open = segment[0] == "Z" or not message.segments(segment)  # of a site's own there may be several
            torn = any(shape.search(line) or (is_open and look_alike.is_near(name, segment)) for line, name in lines)
            if torn or (is_open and any(self._is_spoiled(name, segment) for name in message.strange)):
                found |= dict.fromkeys(attributes, segment)
        return found

    def _is_spoiled(self, name: str, segment: str) -> bool:
        """Whether a segment of no standard may be another one. One that begins with Z is a site's own unless it looks the same."""
        if name in self._segments:
            return False
        return look_alike.looks_like(name, segment) if name[0] == "Z" else look_alike.is_near(name, segment)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Everything that the rules read."""
        return tuple(parse(path) for rule in self._rules for path in rule.paths)

    def apply(
        self, message: Message, statements: dict[str, Statement], problems: list[Problem], codes: Read, *, present: bool = False
    ) -> None:
        """Replaces what the standard fields said by what the rules say. A rule that cannot read its value is a problem.

        ``present``: a rule says nothing where the message has nothing to read, whatever its ``on_absent``.
        """
        for rule, is_text in self._steps:
            if present and not rule.find(message):
                continue
            outcome = partial.apply_rule(rule, message, problems, codes)
            if is_text:
                outcome = self._usable(rule, outcome, message, statements, problems)
                for name in [one for one in statements if base(one) == rule.attribute]:
                    del statements[name]
            statements.pop(rule.attribute, None)
            if outcome is not None:
                statements[rule.attribute] = outcome
        statements |= self._each.apply(message, problems, codes)

    def finds(self, message: Message) -> bool:
        """Whether a rule reads anything in the message."""
        return any(rule.find(message) for rule in self._rules)

    def reread(self, attribute: str, codes: Codes) -> tuple[Statement | None, Problem | None] | None:
        """What the rules make of codes that were read before (``store.domain.source_codes``)."""
        return partial.read_again(self._rules, attribute, codes)

    def unmapped(self, message: Message) -> list[tuple[str, str]]:
        """(path, code) of every code that no ``values`` table knows, once, whatever ``on_unknown`` makes of it."""
        found = [(rule, one) for rule in self._rules for one in rule.find(message)]
        return list(dict.fromkeys((one.path, one.text) for rule, one in found if one.text and not rule.knows(one.text)))

    def _usable(
        self, rule: Rule, outcome: Statement | None, message: Message, statements: Mapping[str, Statement], problems: list[Problem]
    ) -> Statement | None:
        """The statement in the shape of its attribute; text that cannot be used becomes a problem and no statement."""
        if outcome is None or outcome.value is None:
            return outcome
        family = base(rule.attribute)
        if family in (PHONES, EMAIL):
            return self._list(rule, [one for one in rule.find(message) if one.text], outcome.path, problems)
        text = str(outcome.value)
        value = self._languages.tag(text) if family == LANGUAGE else telecom.resolve_preferred(text, _phones(statements), self._region)
        if value is None and not (family == LANGUAGE and language.is_declined(text)):
            problems.append(Problem(f"{family}_unusable", outcome.path, "the value cannot be used", family))
        return None if value is None else Statement(value, outcome.path)

    def _list(self, rule: Rule, found: Sequence[FoundValue], path: str, problems: list[Problem]) -> Statement | None:
        """The list; an empty one only where there was nothing that could not be used."""
        family, kind = base(rule.attribute), rule.attribute.partition("#")[2].lower()
        values: list[Any] = []
        for one in found:
            text = one.text or ""
            value = telecom.email(text) if family == EMAIL else self._phone(text, kind)
            if value is None or self._tables.is_placeholder(value if isinstance(value, str) else value.number):
                reason = f"{'email' if family == EMAIL else 'phone'}_{'unusable' if value is None else 'placeholder'}"
                problems.append(Problem(reason, one.path, "the value cannot be used", family))
            else:
                values.append(value)
        return Statement(tuple(values) or None, path) if values or not found else None

    def _phone(self, text: str, kind: str) -> Phone | None:
        number = telecom.e164(text, self._region)
        if number is None:
            return None
        use = kind if kind in _KINDS else PhoneKind.OTHER.value
        return Phone(number, use, text, None, use == PhoneKind.CELL.value or telecom.is_mobile(number))


_READ = frozenset({PHONES, EMAIL, LANGUAGE, PREFERRED_PHONE})


def _readers(paths: Sequence[tuple[str, Path]]) -> list[tuple[str, re.Pattern[str], list[str]]]:
    """Each segment that rules read what can refuse from: its name, how it looks in a line that is no segment, and what is read.

    Its name may be spoiled at its end and anywhere behind something else, with some delimiter behind it. Three letters of a standard
    segment may also be the end of a word.
    """
    named: dict[str, list[str]] = {}
    for attribute, path in paths:
        if refusal(attribute) is not None and attribute not in named.setdefault(path.segment, []):
            named[path.segment].append(attribute)
    starts = {name: "" if name[0] == "Z" else "(?<![A-Z])" for name in named}
    return [(name, re.compile(rf"{starts[name]}{name}\w{{0,2}}\s?[^\w\s]", re.IGNORECASE), read) for name, read in named.items()]


def _phones(statements: Mapping[str, Statement]) -> list[Phone]:
    return [phone for name, one in statements.items() if base(name) == PHONES for phone in one.value or ()]
