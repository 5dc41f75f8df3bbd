"""Combines the telecom fields of one message, and computes how they change when a period in them begins or ends. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time
from typing import NamedTuple

from adapters.base import SourceSettings
from adapters.hl7v2.path import Path
from adapters.hl7v2.reader import DELETE, Message
from adapters.hl7v2.xtn import CELL, TelecomReader
from adapters.mapping.contact_tables import ContactTables
from store.preference import EMAIL, PHONES, PREFERRED_PHONE, Later, Problem, Statement, base, slot

MOST_DAYS = 50
REMARK = 9  # XTN.9 is text, unless the site keeps a code there
# Field, what its numbers are for when they do not say (v2-to-FHIR), slots.
TELECOMS = tuple(
    (number, path, kind, slot(PHONES, path), slot(EMAIL, path))
    for number, path, kind in ((13, "PID-13", "home"), (14, "PID-14", "work"), (40, "PID-40", "other"))
)
_FIELDS = frozenset(number for number, *_ in TELECOMS)
Stated = dict[str, Statement]


class Turning(NamedTuple):
    """A day on which ``attribute`` changes because a period begins or ends, with the data to read the field as of that day."""

    day: date
    path: str
    attribute: str
    field: str
    kind: str


class TelecomRemarks(NamedTuple):
    """Results of the fields besides their lists: consents that remarks deny (attribute, path), and the days on which a list changes."""

    refused: tuple[tuple[str, str], ...]
    turns: tuple[Turning, ...]


NO_REMARKS = TelecomRemarks((), ())


class PatientTelecoms:
    """Reads PID-13, PID-14 and PID-40 the way one source is configured. ``paths`` are those that its rules read."""

    def __init__(self, settings: SourceSettings, tables: ContactTables, paths: Sequence[Path]) -> None:
        is_text = not any(path.component == REMARK and path.field in _FIELDS for path in paths)
        self.reader = TelecomReader(settings.default_region, tables, is_text=is_text)
        self._ruled = frozenset(base(name) for name in settings.mapping)
        self._first_is_preferred = settings.mapping.get(PREFERRED_PHONE, {}).get("by") == "first"

    def read(self, message: Message, pid: list[str], today: date, statements: Stated, problems: list[Problem]) -> TelecomRemarks:
        """Adds the lists, and which number is preferred, to ``statements``."""
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
            found = self.reader.read(message, field, path, kind, today)
            if found.states_phones:  # the list sent is the whole list: what it leaves out is taken back
                statements[phones] = Statement(found.numbers or None, path)
            if found.states_emails:
                statements[emails] = Statement(found.emails or None, path)
            preferred += found.preferred
            refused += found.refused
            wrong |= found.wrong
            problems += found.problems
            if found.turns:
                turns += [Turning(day, path, one, field, kind) for day, one in found.turns if one not in self._ruled]
        agree(statements, wrong)
        if self._first_is_preferred:
            self._prefer_first(message, pid[13], today, statements)
        elif preferred:
            _prefer(preferred, statements)
        return TelecomRemarks(tuple(refused), tuple(sorted(turns)[:MOST_DAYS])) if refused or turns else NO_REMARKS

    def _prefer_first(self, message: Message, field: str, today: date, statements: Stated) -> None:
        """The primary number is the first repetition of PID-13; an empty one before others is a primary number that was not sent."""
        first = field.split(message.delimiters.repetition, 1)[0]
        phones = self.reader.read(message, first, "PID-13", "home", today).phones if first and first != DELETE else ()
        if phones:
            statements[PREFERRED_PHONE] = Statement(phones[0].number, "PID-13[1]")


def _prefer(preferred: Sequence[tuple[int, str, str]], statements: Stated) -> None:
    """XTN.18. Its scope may be a type of number only, so two different numbers at the top leave the matter open."""
    top = min(preferred)[0]
    first = [one for one in preferred if one[0] == top]
    if len(first) == 1 or len({number for _, number, _ in first}) == 1:
        statements[PREFERRED_PHONE] = Statement(first[0][1], first[0][2])


def agree(statements: dict[str, Statement], wrong: Collection[str]) -> None:
    """Makes the lists consistent: a number that is a cell in one field is a cell in all; a wrong number is removed from all."""
    for name, one in [*statements.items()] if wrong else ():
        if one.value and name.startswith(PHONES):
            statements[name] = one._replace(value=tuple(phone for phone in one.value if phone.number not in wrong) or None)
    lists = [(name, one) for name, one in statements.items() if one.value and name.startswith(PHONES)]
    if len(lists) < 2:
        return
    cells = {phone.number for _, one in lists for phone in one.value if phone.kind == CELL}
    for name, one in lists:
        if any(phone.number in cells and phone.kind != CELL for phone in one.value):
            values = tuple(phone._replace(kind=CELL, textable=True) if phone.number in cells else phone for phone in one.value)
            statements[name] = one._replace(value=values)


def later(message: Message, turns: Iterable[Turning], telecoms: TelecomReader) -> Iterator[Later]:
    """The future lists, each due at the start (UTC) of the day on which it changes."""
    for turn in turns:
        found = telecoms.read(message, turn.field, turn.path, turn.kind, turn.day)
        is_phones = turn.attribute == PHONES
        if found.states_phones if is_phones else found.states_emails:
            values = found.numbers if is_phones else found.emails
            due = datetime.combine(turn.day, time(), UTC)
            yield Later(slot(turn.attribute, turn.path), due, values or None, turn.path)
