"""Some of the opt-out report, for people who look at it: the next ones behind a number, in bounded time, whatever is filtered.

A number that thousands of patients have (a care home's, a placeholder) is shown with some of them, and with how many there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from types import MappingProxyType
from typing import NamedTuple

from store.database import Database
from store.ids import shown
from store.texting.binding import Bindings
from store.texting.opt_outs import OWNERS, WITHOUT_NUMBER, OptedOut, Wanted, among

LOOKED_THROUGH = 5_000
"""At most so many numbers are read for one part: a filter that fits few must not hold it up."""
NUMBERS = """SELECT number, words FROM sms_words w WHERE enterprise = ? AND number > ? AND number LIKE ? AND (words LIKE ? OR EXISTS (
 SELECT 1 FROM sms_bindings b WHERE b.enterprise = w.enterprise AND b.number = w.number AND b.until IS NULL AND b.words LIKE ?))
 ORDER BY number LIMIT ?"""

OWNED = "SELECT number, count(*) FROM patient_phones WHERE enterprise = ? AND number IN ?? GROUP BY number"
SOME = "SELECT number, patient_id FROM patient_phones WHERE enterprise = ? AND number = ? ORDER BY patient_id LIMIT ?"
SOME_OWNERS = 3


class Part(NamedTuple):
    """Some opt-outs by number, each with at most ``SOME_OWNERS`` patients; ``owners``: number -> how many there are.

    ``after``: the number to go on from, ``None`` where nothing more can come.
    """

    opt_outs: tuple[OptedOut, ...] = ()
    owners: Mapping[str, int] = MappingProxyType({})
    after: str | None = None


def part(database: Database, enterprise: str, wanted: Wanted, *, digits: str = "", after: str = "", limit: int = 100) -> Part:
    """The next opt-outs behind a number that holds the digits: ``limit`` or a few more, for a number's own are never torn apart."""
    words = f'%"{wanted.authority}"%' if wanted.authority else "%true%"  # an opt-out is written as true
    found: list[OptedOut] = []
    how_many: dict[str, int] = {}
    looked, more = 0, True
    with database.read() as connection:

        def owners(numbers: list[str]) -> Mapping[str, Sequence[str]]:
            how_many.update(map(tuple, database.select(connection, OWNED, [enterprise, numbers])))
            few = [number for number in numbers if 0 < how_many.get(number, 0) <= SOME_OWNERS]
            rows = database.select(connection, OWNERS, [enterprise, few]) if few else []
            for number in numbers:
                if how_many.get(number, 0) > SOME_OWNERS:  # by itself: of thousands only the first are read
                    rows += database.select(connection, SOME, [enterprise, number, SOME_OWNERS])
            return {number: [shown(patient) for _, patient in group] for number, group in groupby(sorted(map(tuple, rows)), itemgetter(0))}

        bindings = Bindings(database, connection, enterprise)
        while more and len(found) < limit and looked < LOOKED_THROUGH:
            rows = database.select(connection, NUMBERS, [enterprise, after, f"%{digits}%", words, words, limit])
            without = [WITHOUT_NUMBER] if not (after or digits) else []
            for one in among([*without, *rows], wanted, owners, bindings):
                how_many[one.number] = max(how_many.get(one.number, 0), len(one.patients))
                found.append(one._replace(patients=one.patients[:SOME_OWNERS]))
            after, looked, more = rows[-1][0] if rows else after, looked + len(rows), len(rows) == limit
    return Part(tuple(found), how_many, after if more else None)
