"""The opt-out report: every number that may not be texted by the word of a patient or of staff, on which line, since when, whose it is.

What an EMR denies is not here: it is a value of its patient, with its evidence, on the facesheet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection

from store import documents
from store.consent import OptOut
from store.database import Database
from store.ids import shown
from store.texting.binding import Bindings
from store.texting.bound import NO_NUMBER
from store.texting.word import standing

PAGE = 2_000
NUMBERS = "SELECT number, words FROM sms_words WHERE enterprise = ? AND number > ? ORDER BY number LIMIT ?"
WITHOUT_NUMBER = (NO_NUMBER, "[]")
"""Where opt-outs of patients who had no number come in: first."""
OWNERS = "SELECT number, patient_id FROM patient_phones WHERE enterprise = ? AND number IN ?? ORDER BY patient_id"


class OptedOut(NamedTuple):
    """One standing opt-out. ``line`` ``None``: every line but ``except_lines``. ``number`` is empty where its patient had none.

    ``patients``, by the store's id: whom it holds for. They have the number now, or had it when they opted out.
    """

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
    first = not after
    while True:
        with database.read() as connection:
            rows = database.select(connection, NUMBERS, [enterprise, after, PAGE])
            every = [*([WITHOUT_NUMBER] if first else ()), *rows]
            owners, bindings = partial(_owners, database, connection, enterprise), Bindings(database, connection, enterprise)
            found = among(every, wanted, owners, bindings)
        yield from found
        if len(rows) < PAGE:
            return
        after, first = rows[-1][0], False


def among(rows: list[Any], wanted: Wanted, owners_of: Owners, bindings: Bindings) -> list[OptedOut]:
    """The wanted ones among some rows of numbers and words, in their order, with whom each holds for."""
    refused = {number: [one for one in standing(documents.read_words(words)) if wanted.fits(one)] for number, words in rows}
    bound: dict[OptOut, set[str]] = {}
    for each in bindings.of_numbers(list(refused)):
        for one in filter(wanted.fits, standing(each.words)):
            bound.setdefault(_same(one, refused[each.number]), set()).add(shown(each.patient))
    numbers = [number for number, found in refused.items() if number and found]
    owners = owners_of(numbers) if numbers else {}
    every = [(one, owners.get(number, ())) for number, found in refused.items() for one in found]
    known = {one for one, _ in every}
    every += [(one, ()) for one in bound if one not in known]
    return [_row(one, sorted({*mine, *bound.get(one, ())})) for one, mine in sorted(every, key=lambda each: _order(each[0]))]


def _same(one: OptOut, by_number: Iterable[OptOut]) -> OptOut:
    """The opt-out of the number that says the same, for one that binds a patient; itself where there is none."""
    return next((other for other in by_number if other._replace(at=one.at) == one), one)


def _owners(database: Database, connection: Connection, enterprise: str, numbers: list[str]) -> Mapping[str, Sequence[str]]:
    owners: dict[str, list[str]] = {}
    for number, patient in database.select(connection, OWNERS, [enterprise, numbers]):
        owners.setdefault(number, []).append(shown(patient))
    return owners


def _row(one: OptOut, patients: Sequence[str]) -> OptedOut:
    return OptedOut(one.number, one.line, one.scope, one.topic, one.authority, one.at, one.except_lines, tuple(patients))


def _order(one: OptOut) -> tuple[str, str, str, str]:
    return one.number, one.line or "", one.topic or "", one.authority
