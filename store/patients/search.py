"""Finds patients as a front desk does: by identifier, phone, birth date and beginnings of the words of a name.

Every question is answered along an index, and none reads more than :data:`LOOKED_THROUGH` rows of it, so that a single letter is answered
as fast as a whole name. Where more were there, the result says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from store.db.database import Database
from store.domain import search_entry
from store.domain.identifiers import LOOKUP
from store.domain.ids import parsed
from store.domain.patient import PatientRef
from store.domain.patient_query import PatientQuery, Person
from store.patients.reader import PatientReader, names

IDENTIFIER, PHONE, FORMER_PHONE, PERSON = "identifier", "phone", "other_phone", "name"
MOST = 25
LOOKED_THROUGH = 20_000
ENOUGH = (MOST + 1) * (search_entry.MOST_WORDS + 1)
"""Rows that hold more patients than are shown: each word of a patient is a row."""
AFTER_ANYTHING = "\U0010ffff"
"""Follows every word that begins with a text, byte by byte."""
BY_VALUE = """SELECT p.id, i.authority, i.type, i.kind, i.value FROM identifiers i JOIN patients p ON p.id = i.patient_id
 WHERE i.enterprise = ? AND i.value IN ?? LIMIT ?"""
BY_PHONE = """SELECT ph.patient_id, ph.in_force, coalesce(p.search_entry, '') FROM patient_phones ph JOIN patients p ON p.id = ph.patient_id
 WHERE ph.enterprise = ? AND ph.number IN ?? ORDER BY ph.in_force DESC, p.search_entry, ph.patient_id LIMIT ?"""
RANGE = "FROM patient_search WHERE enterprise = ? AND token >= ? AND token < ?"
COUNT = f"SELECT count(*) FROM (SELECT 1 {RANGE} LIMIT ?) AS few"
ORDER = "ORDER BY token, entry, patient_id"
FURTHEST = f"SELECT token, entry, patient_id {RANGE} {ORDER} LIMIT 1 OFFSET ?"
UP_TO = " AND token <= ? AND (token, entry, patient_id) < (?, ?, ?)"
NOT_INDEXED = "SELECT 1 FROM patients WHERE enterprise = ? AND search_entry IS NULL AND merged_into IS NULL LIMIT 1"


class Hit(NamedTuple):
    """A patient that fits, and by what: :data:`IDENTIFIER`, :data:`PHONE`, :data:`FORMER_PHONE` (not in force) or :data:`PERSON`."""

    patient: int
    by: str


class Hits(NamedTuple):
    """The best :data:`MOST` patients. ``more``: others fit too. ``unfinished``: not everybody was looked at, so others may fit."""

    hits: tuple[Hit, ...]
    more: bool = False
    unfinished: bool = False


class PatientSearch:
    """Searches one enterprise, inside a connection that the caller opened."""

    def __init__(self, database: Database, connection: Connection, reader: PatientReader) -> None:
        self.database, self.connection, self.reader = database, connection, reader
        self.enterprise = reader.enterprise.name
        self._unfinished = False

    def run(self, query: PatientQuery) -> Hits:
        """The patients that fit, the best first: by identifier, by phone, then by name in alphabetical order."""
        found: dict[int, Hit] = {}
        for hit in self._hits(query):
            found.setdefault(hit.patient, hit)
        best = tuple(found.values())
        return Hits(best[:MOST], len(best) > MOST, self._unfinished)

    def is_complete(self) -> bool:
        """Whether everybody is in the index of names."""
        return not self._select(NOT_INDEXED, [self.enterprise])

    def _hits(self, query: PatientQuery) -> Iterator[Hit]:
        yield from self._by_id(query)
        yield from self._by_identifier(query)
        for one in query.persons:
            yield from self._by_phone(one) if one.numbers else self._by_name(one)

    def _by_id(self, query: PatientQuery) -> Iterator[Hit]:
        if query.id is not None and parsed(query.id) is not None:
            rows = self.reader.rows([PatientRef(id=query.id)])
            yield from (Hit(row[3], IDENTIFIER) for row in rows if type(row) is tuple)

    def _by_identifier(self, query: PatientQuery) -> Iterator[Hit]:
        """Those with the identifier as typed first, and of these those whom a source knows by it."""
        if not query.values:
            return
        rows = self._select(BY_VALUE, [self.enterprise, list(query.values), LOOKED_THROUGH])
        ref = PatientRef(authority=query.authority)
        fitting = [row for row in rows if names(ref, row[1], row[2])]
        for row in sorted(fitting, key=lambda row: (row[3] == LOOKUP, query.values.index(row[4]), row[0])):
            yield Hit(row[0], IDENTIFIER)

    def _by_phone(self, person: Person) -> Iterator[Hit]:
        rows = self._select(BY_PHONE, [self.enterprise, list(person.numbers), LOOKED_THROUGH])
        self._unfinished = self._unfinished or len(rows) == LOOKED_THROUGH
        for patient, in_force, entry in rows:
            if _fits(entry, person):
                yield Hit(patient, PHONE if in_force else FORMER_PHONE)

    def _by_name(self, person: Person) -> Iterator[Hit]:
        """Along the rarest beginning; the others are looked for in the entries there."""
        terms = [(word,) for word in person.words] + ([person.born] if person.born else [])
        sizes = [[self._size(one) for one in term] for term in terms] if len(terms) > 1 else [[0] * len(term) for term in terms]
        place = min(range(len(terms)), key=lambda number: sum(sizes[number]))
        others = [term for number, term in enumerate(terms) if number != place]
        for beginning, size in zip(terms[place], sizes[place], strict=True):
            rows = self._in_range(beginning, others, size)
            fitting = [patient for patient, entry in rows if _fits(entry, person)]
            yield from (Hit(patient, PERSON) for patient in fitting)
            was_cut = size > LOOKED_THROUGH or len(rows) == ENOUGH
            self._unfinished = self._unfinished or (was_cut and len({*fitting}) <= MOST)

    def _in_range(self, beginning: str, others: Sequence[tuple[str, ...]], size: int) -> list[Any]:
        """The first rows whose entries have the other words too."""
        parameters, condition = _range(self.enterprise, beginning), ""
        if size > LOOKED_THROUGH:
            furthest = self._select(FURTHEST, [*parameters, LOOKED_THROUGH])
            for token, entry, patient in furthest:
                condition, parameters = UP_TO, [*parameters, token, token, entry, patient]
        for term in others:
            condition += f" AND ({' OR '.join(['entry LIKE ?'] * len(term))})"
            parameters += [_pattern(one, beginning) for one in term]
        return self._select(f"SELECT patient_id, entry {RANGE}{condition} {ORDER} LIMIT ?", [*parameters, ENOUGH])

    def _size(self, beginning: str) -> int:
        return int(self._select(COUNT, [*_range(self.enterprise, beginning), LOOKED_THROUGH + 1])[0][0])

    def _select(self, sql: str, parameters: Sequence[Any]) -> list[Any]:
        return self.database.select(self.connection, sql, parameters)


def _range(enterprise: str, beginning: str) -> list[Any]:
    return [enterprise, beginning, beginning + AFTER_ANYTHING]


def _pattern(word: str, other: str) -> str:
    """What an entry with a word of its own for each of two beginnings is like. If one begins the other, it must be there twice."""
    shorter, longer = sorted((word, other), key=len)
    return f"% {shorter}% {shorter}%" if longer.startswith(shorter) else f"% {word}%"


def _fits(entry: str, person: Person) -> bool:
    return search_entry.fits(entry, person.words) and (not person.born or _is_born(entry, person.born))


def _is_born(entry: str, born: Iterable[str]) -> bool:
    return any(word.startswith(one) for word in entry.split() for one in born)
