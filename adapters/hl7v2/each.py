"""Consent at each number: rules that end in ``#*`` read beside the numbers of PID-13, PID-14 and PID-40. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from adapters.hl7v2.path import parse
from adapters.hl7v2.reader import Message
from adapters.hl7v2.xtn import TelecomReader
from adapters.site_mapping import EACH, Found, MappingError, Refusal, Rule
from store.preference import Statement

FIELDS = (13, 14, 40)
PLACE = re.compile(r"PID(?:\[\d+\])?-(\d+)(?:\[(\d+)\])?")


class EachNumber:
    """The rules of one source that are read number by number. Raises ``MappingError`` for a path that is beside no number."""

    def __init__(self, rules: Sequence[Rule], region: str | None) -> None:
        self._rules = [rule for rule in rules if rule.attribute.endswith(EACH)]
        self._telecoms = TelecomReader(region)
        for rule in self._rules:
            for path in map(parse, rule.paths):
                if path.segment != "PID" or path.field not in FIELDS or path.component is None:
                    raise MappingError(rule.attribute, "is beside no number: read a component of PID-13, PID-14 or PID-40, like PID-13.9")

    def apply(self, message: Message) -> dict[str, Statement] | Refusal:
        """What is stated for each number. One that cannot be used is reported where phones are read."""
        stated: dict[str, Statement] = {}
        for rule in self._rules:
            for number, found in self._by_number(rule, message).items():
                outcome = rule.judge(found)
                if isinstance(outcome, Refusal):
                    return outcome
                if outcome is not None:
                    stated[rule.attribute.removesuffix("*") + number] = outcome
        return stated

    def _by_number(self, rule: Rule, message: Message) -> dict[str, list[Found]]:
        """What was found, by the number beside it: a number that stands there twice has both answers."""
        numbers: dict[str, list[Found]] = {}
        for found in rule.find(message):
            place = PLACE.match(found.path)
            number = self._number(message, int(place[1]), int(place[2] or 1)) if place else None
            if number is not None:
                numbers.setdefault(number, []).append(found)
        return numbers

    def _number(self, message: Message, field: int, repetition: int) -> str | None:
        text = message.field("PID", field).split(message.delimiters.repetition)[repetition - 1]
        return self._telecoms.number(message, text)
