"""Applies the rules of a site to a message, including attributes whose text must be parsed (phones, e-mail, language). Pure.

Rules that end in ``#*`` read a consent per number, from components of PID-13, PID-14 and PID-40.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from adapters.hl7v2 import look_alike
from adapters.hl7v2.path import Path, parse
from adapters.hl7v2.reader import SEGMENTS, Message
from adapters.hl7v2.xtn import TelecomReader
from adapters.mapping import contact_tables, language, partial, telecom
from adapters.mapping.contact_tables import ContactTables
from adapters.mapping.rules import EACH, CompilePath, FoundValue, MappingError, Read, Rule, compile_mapping
from adapters.mapping.texts import TEXTS
from store.preference import (
    EMAIL,
    LANGUAGE,
    LISTS,
    PHONES,
    PREFERRED_PHONE,
    RESTRICTED,
    Codes,
    Phone,
    PhoneKind,
    Problem,
    Statement,
    base,
    refusal,
    refuses,
)

FIELDS = (13, 14, 40)
PLACE = re.compile(r"PID(?:\[(\d+)\])?-(\d+)(?:\[(\d+)\])?")


class EachNumber:
    """The rules of one source that apply per number. Raises ``MappingError`` for a path that does not belong to a number."""

    def __init__(self, rules: Sequence[Rule], telecoms: TelecomReader) -> None:
        self._rules = [rule for rule in rules if rule.attribute.endswith(EACH)]
        self._telecoms = telecoms
        for rule in self._rules:
            for path in map(parse, rule.paths):
                if path.segment != "PID" or path.field not in FIELDS or path.component is None:
                    raise MappingError(rule.attribute, "has no number: read a component of PID-13, PID-14 or PID-40, like PID-13.9")

    def apply(self, message: Message, problems: list[Problem], codes: Read) -> dict[str, Statement]:
        """The statements per number. A refusal at an unreadable number is a problem of the consent for all numbers."""
        stated: dict[str, Statement] = {}
        for rule in self._rules:
            stated |= partial.apply_per_number(rule, message, lambda path: self._number(message, path), problems, codes)
        return stated

    def _number(self, message: Message, path: str) -> str | None:
        """The number that a path belongs to; empty if it is unreadable, ``None`` if the path has no number."""
        place = PLACE.match(path)
        if place is None:
            return None
        field = message.segments("PID")[int(place[1] or 1) - 1][int(place[2])]
        text = field.split(message.delimiters.repetition)[int(place[3] or 1) - 1]
        return self._telecoms.number(message, text) or ""


_KINDS = frozenset(kind.value for kind in PhoneKind)


class SiteRules:
    """The compiled rules of one source. Raises ``MappingError`` for an invalid rule."""

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
        # The preferred number may refer to one of the phones, so its rule runs last.
        ordered = sorted(self._rules, key=lambda rule: rule.attribute == PREFERRED_PHONE)
        self._steps = tuple((rule, base(rule.attribute) in TEXTS) for rule in ordered if not rule.attribute.endswith(EACH))
        self._each = EachNumber(self._rules, TelecomReader(region, self._tables))
        self._readers = _readers([*self.paths_by_attribute(), (RESTRICTED, parse("PD1-12"))])
        self._known = SEGMENTS | {path.segment for path in self.paths}

    def paths_by_attribute(self) -> list[tuple[str, Path]]:
        """Every path that is read, with its attribute."""
        return [(base(rule.attribute), parse(path)) for rule in self._rules for path in rule.paths]

    def unread(self, message: Message) -> dict[str, str]:
        """Attributes that can refuse -> their segment, if a line of the message may be that segment with a misspelled name."""
        strange = message.names_besides(self._known)
        if not message.odd and not strange:
            return {}  # as usual: the rules read every segment whose name is the site's own
        lines = [(line, line.partition(message.delimiters.field)[0][: look_alike.LONGEST]) for line in message.odd]
        found: dict[str, str] = {}
        for segment, shape, attributes in self._readers:
            is_open = segment[0] == "Z" or not message.segments(segment)  # a Z-segment may occur several times
            torn = any(shape.search(line) or (is_open and look_alike.is_near(name, segment)) for line, name in lines)
            if torn or (is_open and any(_is_spoiled(name, segment) for name in strange)):
                found |= dict.fromkeys(attributes, segment)
        return found

    @property
    def paths(self) -> tuple[Path, ...]:
        """All paths that the rules read."""
        return tuple(parse(path) for rule in self._rules for path in rule.paths)

    def apply(
        self, message: Message, statements: dict[str, Statement], problems: list[Problem], codes: Read, *, present: bool = False
    ) -> None:
        """Replaces the statements of standard fields by those of the rules. A value that a rule cannot read becomes a problem.

        ``present``: a rule states nothing if the message has no value to read, whatever its ``on_absent``.
        """
        for rule, is_parsed in self._steps:
            if present and not rule.find(message):
                continue
            outcome = partial.apply_rule(rule, message, problems, codes)
            if is_parsed:
                outcome = self._usable(rule, outcome, message, statements, problems)
                for name in [one for one in statements if base(one) == rule.attribute]:
                    del statements[name]
            standard = statements.pop(rule.attribute, None)
            if outcome is not None and outcome.value is not None:
                statements[rule.attribute] = outcome
            elif standard is not None and refuses(rule.attribute, standard.value):
                statements[rule.attribute] = standard  # a refusal in the standard field counts beside a rule that finds nothing
            elif outcome is not None:
                statements[rule.attribute] = outcome
        statements |= self._each.apply(message, problems, codes)

    def finds(self, message: Message) -> bool:
        """Whether a rule finds a value in the message."""
        return any(rule.find(message) for rule in self._rules)

    def reread(self, attribute: str, codes: Codes) -> tuple[Statement | None, Problem | None] | None:
        """Applies the rules to codes that were read earlier (``store.domain.source_codes``)."""
        return partial.read_again(self._rules, attribute, codes)

    def unknown(self, message: Message) -> list[tuple[str, str, str]]:
        """(attribute, path of the rule, code) of every code that is not in a ``values`` table."""
        found = [(rule, one.text) for rule in self._rules for one in rule.find(message)]
        return [(rule.attribute, rule.path, code) for rule, code in found if code and not rule.knows(code)]

    def unmapped(self, message: Message) -> list[tuple[str, str]]:
        """(path, code) of every code that is not in a ``values`` table, once, whatever ``on_unknown`` is."""
        found = [(rule, one) for rule in self._rules for one in rule.find(message)]
        return list(dict.fromkeys((one.path, one.text) for rule, one in found if one.text and not rule.knows(one.text)))

    def _usable(
        self, rule: Rule, outcome: Statement | None, message: Message, statements: Mapping[str, Statement], problems: list[Problem]
    ) -> Statement | None:
        """The statement with its text converted to the attribute's type. Unusable text becomes a problem, not a statement."""
        if outcome is None or outcome.value is None:
            return outcome
        family = base(rule.attribute)
        if family in LISTS:
            return self._list(rule, [one for one in rule.find(message) if one.text], outcome.path, problems)
        text = str(outcome.value)
        value = self._languages.tag(text) if family == LANGUAGE else telecom.resolve_preferred(text, _phones(statements), self._region)
        if value is None and not (family == LANGUAGE and language.is_declined(text)):
            problems.append(Problem(f"{family}_unusable", outcome.path, "the value cannot be used", family))
        return None if value is None else Statement(value, outcome.path)

    def _list(self, rule: Rule, found: Sequence[FoundValue], path: str, problems: list[Problem]) -> Statement | None:
        """The list of usable values. It is empty only if there were no unusable ones."""
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


def _is_spoiled(name: str, segment: str) -> bool:
    """Whether a non-standard name may be a misspelled ``segment``. A Z name is local to the site unless it looks the same."""
    return look_alike.looks_like(name, segment) if name[0] == "Z" else look_alike.is_near(name, segment)


def _readers(paths: Sequence[tuple[str, Path]]) -> list[tuple[str, re.Pattern[str], list[str]]]:
    """The segments from which rules read attributes that can refuse: name, pattern to find it in other lines, attributes.

    The pattern finds the name anywhere in a line, with up to two extra characters and a delimiter after it. The name of a standard segment
    must not follow a letter, because its three letters may be the end of a word.
    """
    named: dict[str, list[str]] = {}
    for attribute, path in paths:
        if refusal(attribute) is not None and attribute not in named.setdefault(path.segment, []):
            named[path.segment].append(attribute)
    starts = {name: "" if name[0] == "Z" else "(?<![A-Z])" for name in named}
    return [(name, re.compile(rf"{starts[name]}{name}\w{{0,2}}\s?[^\w\s]", re.IGNORECASE), read) for name, read in named.items()]


def _phones(statements: Mapping[str, Statement]) -> list[Phone]:
    return [phone for name, one in statements.items() if base(name) == PHONES for phone in one.value or ()]
