"""Consent at each number: rules that end in ``#*`` read beside the numbers of PID-13, PID-14 and PID-40. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from adapters import partial
from adapters.hl7v2.path import parse
from adapters.hl7v2.reader import Message
from adapters.hl7v2.xtn import TelecomReader
from adapters.site_mapping import EACH, MappingError, Read, Rule
from store.preference import Problem, Statement

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
                    raise MappingError(rule.attribute, "is beside no number: read a component of PID-13, PID-14 or PID-40, like PID-13.9")

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
