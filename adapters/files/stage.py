"""A set of files while it is read: its rows in a temporary SQLite database, so that they can be grouped whatever their order and number.

The database has no name: SQLite removes its file as soon as it is opened (sqlite.org/inmemorydb.html, "Temporary Databases"), so nothing
about a patient stays on the disk, not even if the process is killed. It is created in ``SQLITE_TMPDIR``, else ``TMPDIR``, else /var/tmp.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from adapters.files.dialect import Value
from adapters.files.options import ExtractTable

SEPARATOR = "\x1f"
CACHE = 32 * 1024
"""KiB of memory. Everything else is on disk."""
LONGEST_TEXT = 64 * 1024


class StagedRow(NamedTuple):
    """A row: its line, the key that it is found by, the keys by which rows of other tables join it, and its values."""

    line: int
    key: str
    below: tuple[str | None, ...]
    values: Sequence[Value]


class BadRow(NamedTuple):
    """A row that cannot be used."""

    table: int
    line: int
    reason: str
    text: str


class Stage:
    """The rows of one set. Close after use."""

    def __init__(self, tables: Sequence[ExtractTable]) -> None:
        self.tables = tables
        self._children = {table.name: [n for n, one in enumerate(tables) if one.into == table.name] for table in tables}
        self._database = sqlite3.connect("", isolation_level=None)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "temp_store = FILE", f"cache_size = -{CACHE}"):
            self._database.execute(f"PRAGMA {pragma}")
        for number, table in enumerate(tables):
            below = "".join(f", j{child} TEXT" for child in self._children[table.name])
            self._database.execute(f"CREATE TABLE t{number} (n INTEGER PRIMARY KEY, k TEXT NOT NULL, f TEXT NOT NULL{below})")
        self._database.execute("CREATE TABLE bad (t INTEGER, n INTEGER, reason TEXT, text TEXT)")

    def close(self) -> None:
        """Removes everything."""
        self._database.close()

    def children(self, table: ExtractTable) -> list[int]:
        """The numbers of the tables that join this one."""
        return self._children[table.name]

    def add(self, number: int, rows: Iterable[StagedRow]) -> None:
        """Adds rows of a table, streamed."""
        marks = ", ?" * (3 + len(self.children(self.tables[number])) - 1)
        lines = ((row.line, row.key, json.dumps(row.values, ensure_ascii=False, separators=(",", ":")), *row.below) for row in rows)
        self._database.execute("BEGIN")
        self._database.executemany(f"INSERT INTO t{number} VALUES (?{marks})", lines)
        self._database.execute("COMMIT")

    def add_bad(self, row: BadRow) -> None:
        """Adds a row that cannot be used."""
        self._database.execute("INSERT INTO bad VALUES (?, ?, ?, ?)", row._replace(text=row.text[:LONGEST_TEXT]))

    def index(self) -> None:
        """Makes keys findable, after all rows were added."""
        for number in range(len(self.tables)):
            self._database.execute(f"CREATE INDEX k{number} ON t{number} (k)")

    def bad(self) -> Iterator[BadRow]:
        """The rows that cannot be used, in their order."""
        return (BadRow(*row) for row in self._database.execute("SELECT t, n, reason, text FROM bad ORDER BY t, n, reason"))

    def count_bad(self) -> int:
        """How many rows cannot be used."""
        return self._one("SELECT count(*) FROM bad")

    def count_patients(self) -> int:
        """How many rows or, of a table with many for each, patients the patients' table has."""
        return self._one(f"SELECT count({'DISTINCT k' if self.tables[0].many else '*'}) FROM t0")

    def unmatched(self, number: int) -> tuple[int, int]:
        """How many rows of a table join no row of the table above, and the line of the first."""
        above = next(n for n, table in enumerate(self.tables) if table.name == self.tables[number].into)
        where = f"k NOT IN (SELECT j{number} FROM t{above} WHERE j{number} IS NOT NULL)"
        found = self._database.execute(f"SELECT count(*), coalesce(min(n), 0) FROM t{number} WHERE {where}").fetchone()
        return int(found[0]), int(found[1])

    def patients(self) -> Iterator[list[Any]]:
        """The rows of each patient, (line, key, values, keys of joined tables …) in the order of the file."""
        rows = self._database.execute("SELECT n, k, f" + self._below(0) + " FROM t0 ORDER BY k, n")
        return (list(group) for _, group in groupby(rows, key=lambda row: row[1]))

    def joined(self, number: int, key: str) -> list[Any]:
        """The rows of a table with this key, in the same form."""
        return self._database.execute(f"SELECT n, k, f{self._below(number)} FROM t{number} WHERE k = ? ORDER BY n", [key]).fetchall()

    def _below(self, number: int) -> str:
        return "".join(f", j{child}" for child in self.children(self.tables[number]))

    def _one(self, sql: str) -> int:
        return int(self._database.execute(sql).fetchone()[0])
