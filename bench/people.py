"""Invented people by the million, with names as skewed as real ones: a few are frequent, most are rare. Written as rows, without intake."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from itertools import accumulate, islice
from random import Random
from typing import Any, NamedTuple

from adapters.rehearsal import invented
from adapters.rehearsal.population import mrn
from bench import site
from bench.crowd import APART, AUTHORITY, BEGAN
from store import times
from store.db.tables import AssertionRow, IdentifierRow, PatientRow, PhoneRow, SearchRow
from store.domain import search_entry
from store.domain.ids import parsed
from store.domain.patient import PatientRef
from store.patients.batch_rows import SEARCH_COLUMNS, search_rows
from store.patients.patient_state import ASSERTION_COLUMNS, PATIENT_COLUMNS
from store.patients.preferences import Preferences
from store.preference import Identifier, PatientStatements, Phone, Statement

SEED, LOT = 13, 20_000
GIVEN, FAMILY = 400, 6_000
BORN = date(1934, 1, 1)
DAYS = 92 * 365
NAME, BIRTH_DATE, CELL = "Ann Example", "1980-02-03", "+12175550101"
IDENTIFIER_COLUMNS = ("enterprise", "value", "authority", "type", "patient_id", "origin", "kind")
STARTS = (
    "ma ma ma ma sa sa se si so sto s schu jo jo ja je da de do ka ke ca co cha la le li ro ra ri be ba bro pe pa ha he mi mo mu ga go "
    "wi wa fe no ti to vi al an el er o u"
)
MIDDLES = [
    "ra",
    "ri",
    "ro",
    "le",
    "la",
    "li",
    "na",
    "ne",
    "ni",
    "sa",
    "so",
    "te",
    "ti",
    "ta",
    "mi",
    "mo",
    "de",
    "do",
    "ke",
    "ga",
    "be",
    "va",
    "lu",
    "ly",
]
ENDS = ["n", "na", "s", "son", "a", "ez", "er", "ski", "o", "ia", "e", "th", "rd", "ll", "tt", "y", "nn", "m"]


class Person(NamedTuple):
    """An invented person."""

    mrn: str
    name: str
    born: str
    phone: str


@dataclass
class People:
    """Fills an empty database with invented patients of the benchmark's enterprise, up to ``count`` of them."""

    store: Preferences
    count: int
    written: int = 0

    def fill(self) -> None:
        """Writes all of them."""
        self.grow(self.count)

    def grow(self, count: int) -> None:
        """Writes them up to this number, as copies of one that is ingested. PostgreSQL is then vacuumed, as happens by itself."""
        for lot in _lots(islice(self.numbered, count - self.written), LOT):
            self._write(self.model, lot)
        self.written = count
        if not self.store.database.is_sqlite:
            with self.store.database.read() as connection:  # outside a transaction
                connection.exec_driver_sql("VACUUM ANALYZE")

    @cached_property
    def numbered(self) -> Iterator[tuple[int, Person]]:
        """Those that are not written yet."""
        return enumerate(people(self.count), 1)

    @cached_property
    def model(self) -> tuple[int, Any, Any]:
        """A patient that was ingested: number, row and assertions."""
        stated = {"display_name": NAME, "birth_date": BIRTH_DATE, "phones": (Phone(CELL, "cell", CELL, 1, True),), "do_not_contact": "no"}
        statements = {name: Statement(value, "PID") for name, value in stated.items()}
        item = PatientStatements((Identifier(AUTHORITY, "MR", "MODEL"),), statements, times.at(BEGAN), "M1")
        with self.store.database.write(site.ENTERPRISE) as transaction:
            self.store.apply_many(transaction, site.ENTERPRISE, site.ADT, [item], now=BEGAN)
        number = parsed(self.store.find(site.ENTERPRISE, PatientRef(value="MODEL")).id) or 0
        with self.store.database.read() as connection:
            patient = self._row(connection, PATIENT_COLUMNS, "patients", "id", number)
            return number, patient, self._row(connection, ASSERTION_COLUMNS, "assertions", "patient_id", number)

    def _row(self, connection: Any, columns: Sequence[str], table: str, key: str, number: int) -> dict[str, Any]:
        (row,) = self.store.database.select(connection, f"SELECT {', '.join(columns)} FROM {table} WHERE {key} = ?", [number])
        found = dict(zip(columns, row, strict=True))
        return found | {name: BEGAN for name in ("created", "updated", "effective", "confirmed", "since", "last_heard") if name in found}

    def _write(self, model: tuple[int, Any, Any], lot: list[tuple[int, Person]]) -> None:
        first, patient, assertion = model
        rows: dict[Any, list[Any]] = {table: [] for table in (PatientRow, IdentifierRow, AssertionRow, PhoneRow, SearchRow)}
        for index, one in lot:
            number, entry = first + index * APART, search_entry.entry(one.name, one.born)
            contact, asserted = patient["contact"].replace(CELL, one.phone), assertion["assertions"].replace(CELL, one.phone)
            asserted = asserted.replace(NAME, one.name).replace(BIRTH_DATE, one.born)
            rows[PatientRow].append(tuple((patient | {"id": number, "contact": contact, "search_entry": entry}).values()))
            rows[AssertionRow].append(tuple((assertion | {"patient_id": number, "assertions": asserted}).values()))
            rows[IdentifierRow].append((site.ENTERPRISE, one.mrn, AUTHORITY, "MR", number, number, "own"))
            rows[PhoneRow].append((site.ENTERPRISE, one.phone, number, 1))
            rows[SearchRow] += search_rows(site.ENTERPRISE, entry, number)
        columns = {
            PatientRow: PATIENT_COLUMNS, AssertionRow: ASSERTION_COLUMNS, IdentifierRow: IDENTIFIER_COLUMNS,
            PhoneRow: ("enterprise", "number", "patient_id", "in_force"), SearchRow: SEARCH_COLUMNS,
        }  # fmt: skip
        with self.store.database.write(site.ENTERPRISE) as transaction:
            for table, written in rows.items():
                self.store.database.insert(transaction, table, columns[table], written)


def people(count: int) -> Iterator[Person]:
    """The same people every time."""
    dice = Random(SEED)
    given, family = names(GIVEN, dice), names(FAMILY, dice)
    often, rarely = weights(GIVEN), weights(FAMILY)
    for index in range(count):
        first, last = dice.choices(given, cum_weights=often)[0], dice.choices(family, cum_weights=rarely)[0]
        born = (BORN + timedelta(days=dice.randrange(DAYS))).isoformat()
        yield Person(mrn(index), f"{first} {last}", born, invented.number(index, SEED))


def names(count: int, dice: Random) -> list[str]:
    """Different invented names, the most frequent first."""
    found: dict[str, None] = {}
    starts = STARTS.split()
    while len(found) < count:
        found[f"{dice.choice(starts)}{dice.choice(MIDDLES)}{dice.choice(['', *MIDDLES])}{dice.choice(ENDS)}".capitalize()] = None
    return list(found)


def weights(count: int) -> list[float]:
    """How frequent each is (cumulative): the tenth half as much as the first, and so on (Zipf)."""
    return list(accumulate(1 / (rank + 10) for rank in range(count)))


def _lots(numbered: Iterator[tuple[int, Person]], size: int) -> Iterator[list[tuple[int, Person]]]:
    while lot := list(islice(numbered, size)):
        yield lot
