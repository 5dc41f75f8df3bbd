"""The opt-out report: every number that may not be texted by the word of a patient or of staff, on which line, since when, whose it is.

What an EMR denies is not here: it is a value of its patient, with its evidence, on the facesheet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection

from store import documents
from store.consent import OptOut
from store.database import Database
from store.ids import shown
from store.texting.word import standing

PAGE = 2_000
NUMBERS = "SELECT number, words FROM sms_words WHERE enterprise = ? AND number > ? ORDER BY number LIMIT ?"
OWNERS = "SELECT number, patient_id FROM patient_phones WHERE enterprise = ? AND number IN ?? ORDER BY patient_id"


class OptedOut(NamedTuple):
    """One standing opt-out. ``line`` ``None``: every line but ``except_lines``. ``patients`` have the number now, by the store's id."""

    number: str
    line: str | None
    scope: str
    topic: str | None
    authority: str
    at: datetime | None
    except_lines: tuple[str, ...]
    patients: tuple[str, ...]


class Wanted(NamedTuple):
    """Which opt-outs to show; what is ``None`` is not asked about.

    ``line``: those that hold on this line, which those of all lines do too. ``since`` and ``until`` (not included): when it was said.
    """

    line: str | None = None
    authority: str | None = None
    scope: str | None = None
    topic: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def fits(self, one: OptOut) -> bool:
        """Whether it is to be shown."""
        return (
            (self.line is None or one.line == self.line or (one.line is None and self.line not in one.except_lines))
            and self.authority in (None, one.authority)
            and self.scope in (None, one.scope)
            and self.topic in (None, one.topic)
            and (self.since is None or (one.at is not None and one.at >= self.since))
            and (self.until is None or (one.at is not None and one.at < self.until))
        )


EVERYTHING = Wanted()
Owners = Callable[[list[str]], Mapping[str, Sequence[str]]]
"""Numbers -> the patients who have them, by the store's id; who has none is missing."""


def opted_out(database: Database, enterprise: str, wanted: Wanted = EVERYTHING, after: str = "") -> Iterator[OptedOut]:
    """Every standing opt-out that is wanted, by number, from beyond the number ``after``. Reads a page at a time, each for itself."""
    while True:
        with database.read() as connection:
            rows = database.select(connection, NUMBERS, [enterprise, after, PAGE])
            found = among(rows, wanted, partial(_owners, database, connection, enterprise))
        yield from found
        if len(rows) < PAGE:
            return
        after = rows[-1][0]


def among(rows: list[Any], wanted: Wanted, owners_of: Owners) -> list[OptedOut]:
    """The wanted ones among some rows of numbers and words, in their order, with whose numbers they are now."""
    refused = {number: [one for one in standing(documents.read_words(words)) if wanted.fits(one)] for number, words in rows}
    numbers = [number for number, found in refused.items() if found]
    owners = owners_of(numbers) if numbers else {}
    return [_row(one, owners.get(number, ())) for number in numbers for one in sorted(refused[number], key=_order)]


def _owners(database: Database, connection: Connection, enterprise: str, numbers: list[str]) -> Mapping[str, Sequence[str]]:
    owners: dict[str, list[str]] = {}
    for number, patient in database.select(connection, OWNERS, [enterprise, numbers]):
        owners.setdefault(number, []).append(shown(patient))
    return owners


def _row(one: OptOut, patients: Sequence[str]) -> OptedOut:
    return OptedOut(one.number, one.line, one.scope, one.topic, one.authority, one.at, one.except_lines, tuple(patients))


def _order(one: OptOut) -> tuple[str, str, str]:
    return one.line or "", one.topic or "", one.authority
