"""The opt-out report: every number that patients or staff opted out, on which line, since when, and whose number it is.

A denial by an EMR is not part of it: it is shown with its evidence on the patient's facesheet.

:func:`opted_out` yields the whole report, :func:`part` one page of it in bounded time, whatever is filtered. A number that thousands of
patients have (a care home's, a placeholder) is shown with a few of them and their count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import groupby
from operator import itemgetter
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import Connection

from store.db.database import Database
from store.domain import documents
from store.domain.ids import shown
from store.domain.message_class import UNKNOWN, MessageClass
from store.domain.opt_out_binding import NO_NUMBER
from store.domain.sms_consent import REVIEW, SMS, OptOut, active
from store.patients.opt_out_bindings import Bindings
from store.preference import PATIENT, STAFF

LOOKED_THROUGH = 5_000
"""The most numbers read for one page, so that a filter that fits few cannot hold it up."""
NEXT_NUMBERS = """SELECT number, words FROM sms_words WHERE enterprise = ? AND number IN (
 SELECT number FROM (
  SELECT number FROM sms_words WHERE enterprise = ? AND number > ? AND number LIKE ? AND {0} ORDER BY number LIMIT ?) AS by_number
 UNION SELECT number FROM (
  SELECT DISTINCT number FROM sms_bindings b WHERE enterprise = ? AND number > ? AND number LIKE ? AND until IS NULL AND {0}
  AND EXISTS (SELECT 1 FROM sms_words w WHERE w.enterprise = b.enterprise AND w.number = b.number) ORDER BY number LIMIT ?) AS bound
 ) ORDER BY number LIMIT ?"""
OPTED_OUT = "words LIKE '%true%'"
"""An opt-out is written as true."""
OF_AUTHORITY = {one: f"""words LIKE '%"{one}"%'""" for one in (PATIENT, STAFF, REVIEW)}
"""Written out, so that both databases see that an index has the rare ones (``store.db.tables.BY_HAND``)."""

OWNED = "SELECT number, count(*) FROM patient_phones WHERE enterprise = ? AND number IN ?? GROUP BY number"
SOME = "SELECT number, patient_id FROM patient_phones WHERE enterprise = ? AND number = ? ORDER BY patient_id LIMIT ?"
SOME_OWNERS = 3


class OptOutPage(NamedTuple):
    """One page of opt-outs by number, each with at most ``SOME_OWNERS`` patients; ``owners``: number -> their count.

    ``after``: where the next page begins; ``None`` on the last one.
    """

    opt_outs: tuple[OptedOut, ...] = ()
    owners: Mapping[str, int] = MappingProxyType({})
    after: str | None = None


def part(database: Database, enterprise: str, wanted: Wanted, *, digits: str = "", after: str = "", limit: int = 100) -> OptOutPage:
    """The next opt-outs after a number, of numbers that contain the digits: ``limit`` or a few more, as one number is never split."""
    query = NEXT_NUMBERS.format(OF_AUTHORITY.get(wanted.authority or "", OPTED_OUT))
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
            some = [enterprise, after, f"%{digits}%", limit]
            rows = database.select(connection, query, [enterprise, *some, *some, limit])
            without = [WITHOUT_NUMBER] if not (after or digits) else []
            for one in among([*without, *rows], wanted, owners, bindings):
                how_many[one.number] = max(how_many.get(one.number, 0), len(one.patients))
                found.append(one._replace(patients=one.patients[:SOME_OWNERS]))
            after, looked, more = rows[-1][0] if rows else after, looked + len(rows), len(rows) == limit
    return OptOutPage(tuple(found), how_many, after if more else None)


PAGE = 2_000
NUMBERS = "SELECT number, words FROM sms_words WHERE enterprise = ? AND number > ? ORDER BY number LIMIT ?"
WITHOUT_NUMBER = (NO_NUMBER, "[]")
"""The row of opt-outs by patients without a number: first."""
OWNERS = "SELECT number, patient_id FROM patient_phones WHERE enterprise = ? AND number IN ?? ORDER BY patient_id"


class OptedOut(NamedTuple):
    """One opt-out in force. ``line`` ``None``: every line but ``except_lines``. ``number`` is empty if its patient had none.

    ``patients``: the store ids of those it holds for. They have the number now, or had it when they opted out.
    """

    number: str
    line: str | None
    scope: str
    topic: str | None
    authority: str
    at: datetime | None
    except_lines: tuple[str, ...]
    patients: tuple[str, ...]
    in_reply_to: MessageClass = UNKNOWN


class Wanted(NamedTuple):
    """A filter of opt-outs of one channel; ``None`` filters nothing.

    ``line``: those in force on this line, including those of all lines. ``since``, and ``until`` (excluded): when they were stated.
    """

    line: str | None = None
    authority: str | None = None
    scope: str | None = None
    topic: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    channel: str = SMS

    def fits(self, one: OptOut) -> bool:
        """Whether an opt-out passes the filter."""
        return (
            one.channel == self.channel
            and (self.line is None or one.line == self.line or (one.line is None and self.line not in one.except_lines))
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
    """Every opt-out in force that passes the filter, by number, after the number ``after``. Reads one page per connection."""
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
    """The opt-outs of some rows that pass the filter, in order, each with the patients it holds for."""
    refused = {number: [one for one in active(documents.read_consent_events(text)) if wanted.fits(one)] for number, text in rows}
    bound: dict[OptOut, set[str]] = {}
    for each in bindings.of_numbers(list(refused)):
        for one in filter(wanted.fits, active(each.events)):
            bound.setdefault(_same(one, refused[each.number]), set()).add(shown(each.patient))
    numbers = [number for number, found in refused.items() if number and found]
    owners = owners_of(numbers) if numbers else {}
    every = [(one, owners.get(number, ())) for number, found in refused.items() for one in found]
    known = {one for one, _ in every}
    every += [(one, ()) for one in bound if one not in known]
    return [_row(one, sorted({*patients, *bound.get(one, ())})) for one, patients in sorted(every, key=lambda each: _order(each[0]))]


def _same(one: OptOut, by_number: Iterable[OptOut]) -> OptOut:
    """The same opt-out of the number itself, for one that binds a patient; itself if there is none."""
    return next((other for other in by_number if other._replace(at=one.at, in_reply_to=one.in_reply_to) == one), one)


def _owners(database: Database, connection: Connection, enterprise: str, numbers: list[str]) -> Mapping[str, Sequence[str]]:
    owners: dict[str, list[str]] = {}
    for number, patient in database.select(connection, OWNERS, [enterprise, numbers]):
        owners.setdefault(number, []).append(shown(patient))
    return owners


def _row(one: OptOut, patients: Sequence[str]) -> OptedOut:
    return OptedOut(one.number, one.line, one.scope, one.topic, one.authority, one.at, one.except_lines, tuple(patients), one.in_reply_to)


def _order(one: OptOut) -> tuple[str, str, str, str]:
    return one.number, one.line or "", one.topic or "", one.authority
