"""Loads the files of a set into a stage, and checks them: columns, trailer, the number of rows that can be used.

A bad row is set aside with its reason. If its key can be read all the same, a row of illegible values takes its place, so that the mapping
knows for whom something is unknown. Otherwise nobody knows whose preference it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from adapters.files import rows
from adapters.files.dialect import ABSENT, Value
from adapters.files.options import Extract, Trailer, column_name
from adapters.files.rejected import FileRejected
from adapters.files.rows import Row
from adapters.files.stage import SEPARATOR, BadRow, Stage, StagedRow
from adapters.mapping.legible import MARK

FEW_BAD, PART_BAD = 100, 0.1
"""A file with more bad rows than both of these is in another dialect, or damaged."""
EARLY = 10_000  # bad rows after which the rest of the file is not awaited

TOO_FEW, TOO_MANY, KEY_MISSING, KEY_UNREADABLE = "row_too_short", "row_too_wide", "key_missing", "key_unreadable"
DETAILS = rows.DETAILS | {
    TOO_FEW: "the row has fewer fields than the header: it is incomplete, or contains a line end without quotes",
    TOO_MANY: "the row has more fields than the header: a field contains the delimiter without quotes",
    KEY_MISSING: "the row has no value in its key, so its patient is unknown",
    KEY_UNREADABLE: "the key of the row contains invalid bytes or characters: check dialect.encoding",
}


class Loaded(NamedTuple):
    """A table that was loaded: its columns, and whether rows were lost of which nobody knows whose they were."""

    columns: tuple[str, ...]
    has_lost_rows: bool


def load(stage: Stage, number: int, extract: Extract, chunks: Iterable[bytes]) -> Loaded:
    """Loads the file of one table. Raises :class:`FileRejected`; the set must not be used then."""
    work, dialect = _Loading(stage, number, extract), extract.dialect
    lines = rows.lines(rows.decoded(chunks, dialect.encoding), dialect.line_end)
    stage.add(number, work.staged(rows.rows(lines, dialect)))
    work.check()
    return Loaded(work.columns, work.lost > 0 and (number > 0 or extract.patients.many))


class _Loading:
    """One file while it is loaded."""

    def __init__(self, stage: Stage, number: int, extract: Extract) -> None:
        self.stage, self.number, self.extract = stage, number, extract
        self.table, self.dialect = extract.tables[number], extract.dialect
        self.columns: tuple[str, ...] = ()
        self.count = self.bad = self.lost = 0
        self._trailer: Row | None = None

    def staged(self, found: Iterator[Row]) -> Iterator[StagedRow]:
        """The rows that belong to somebody."""
        self._read_header(found)
        for row in found:
            if self._is_trailer(row):
                continue
            self.count += 1
            staged = self._staged(row)
            if staged is not None:
                yield staged

    def check(self) -> None:
        """Raises :class:`FileRejected` if the file as a whole cannot be used."""
        if self.extract.trailer is not None:
            self._check_trailer(self.extract.trailer)
        if self.bad > FEW_BAD and self.bad > PART_BAD * self.count:
            raise FileRejected("too_many_bad_rows", f"{self.bad:,} of {self.count:,} rows cannot be read: check dialect and columns")

    def _read_header(self, found: Iterator[Row]) -> None:
        if self.table.header:
            header = next(found, None)
            if header is None:
                raise FileRejected("file_empty", "the file has no header: it is empty, or was not delivered completely")
            self.columns = tuple(column_name(name) if name else "" for name in header.values)
        else:
            header, self.columns = None, self.table.columns
        self._find_columns(is_legible=header is None or MARK not in header.values)

    def _find_columns(self, *, is_legible: bool) -> None:
        """Names the columns as the configuration does. One that is missing, or there twice, must not look as if nobody refused."""
        wanted = self.table.used | set(self.table.key)
        folded = {name.casefold(): name for name in wanted}
        self.columns = tuple(name if name in wanted else folded.get(name.casefold(), name) for name in self.columns)
        missing = sorted(wanted - set(self.columns) - self.table.optional)
        if missing and not is_legible:
            raise FileRejected(
                "encoding_wrong", "the header contains NUL, or bytes that are invalid in this encoding: check dialect.encoding"
            )
        if missing:
            raise FileRejected("columns_missing", f"the file lacks the columns {', '.join(missing)}: check the file, dialect and columns")
        twice = sorted(name for name in wanted if self.columns.count(name) > 1)
        if twice:
            raise FileRejected("columns_repeated", f"the file has the columns {', '.join(twice)} more than once")
        self._key = [self.columns.index(name) for name in self.table.key]
        self._below = [[self.columns.index(name) for name in self.extract.tables[child].above] for child in self.stage.children(self.table)]

    def _is_trailer(self, row: Row) -> bool:
        trailer = self.extract.trailer
        if self._trailer is not None:
            raise FileRejected("trailer_not_last", "rows follow the trailer: two files were joined, or 'trailer.starts' also begins a row")
        if trailer is None or not row.text.startswith(trailer.starts):
            return False
        self._trailer = row
        return True

    def _check_trailer(self, trailer: Trailer) -> None:
        if self._trailer is None:
            raise FileRejected("trailer_missing", "the file has no trailer: it was not delivered completely")
        values = self._trailer.values
        text = str(values[trailer.field - 1] or "").strip() if len(values) >= trailer.field else ""
        if not (text.isascii() and text.isdigit() and len(text) < 16):
            raise FileRejected("trailer_unreadable", f"field {trailer.field} of the trailer is not a number: check 'trailer.field'")
        lines = 1 + self.table.header if trailer.counts == "lines" else 0
        if int(text) != self.count + lines:
            counted = f"the trailer counts {int(text):,} {trailer.counts}, the file has {self.count + lines:,}"
            raise FileRejected("trailer_count_mismatch", f"{counted}: it was not delivered completely, or rows were added")

    def _staged(self, row: Row) -> StagedRow | None:
        values = row.values[: len(self.columns)] if self._has_only_an_empty_field_more(row) else row.values
        reason = row.reason or (TOO_FEW if len(values) < len(self.columns) else TOO_MANY if len(values) > len(self.columns) else "")
        if reason:
            return self._bad(row, reason, self._whole_values(row))
        key = self._keyed(values, self._key)
        if key is None:
            return self._bad(row, KEY_UNREADABLE if any(values[one] == MARK for one in self._key) else KEY_MISSING, [])
        if MARK in values and (self.number > 0 or self.table.many):
            values = self._illegible(values)  # which of the rows of a patient it is may depend on what cannot be read
        return StagedRow(row.number, key, tuple(self._keyed(values, columns) for columns in self._below), values)

    def _bad(self, row: Row, reason: str, whole: Sequence[Value]) -> StagedRow | None:
        """Sets the row aside. Its key counts if it is in the first columns, which what is wrong behind them cannot have moved."""
        self.bad += 1
        self.stage.add_bad(BadRow(self.number, row.number, reason, row.text))
        if self.bad > EARLY and self.bad > 0.5 * self.count:
            raise FileRejected("too_many_bad_rows", f"most of the first {self.count:,} rows cannot be read: check dialect and columns")
        width = len(self._key)
        key = self._keyed(whole, self._key) if set(self._key) == set(range(width)) and len(whole) >= width else None
        if key is None:
            self.lost += 1
            return None
        values = self._illegible([*whole[:width], *[MARK] * (len(self.columns) - width)])
        return StagedRow(row.number, key, tuple(None for _ in self._below), values)

    def _whole_values(self, row: Row) -> list[Value]:
        """The fields of a bad row up to the first quote, without the last one, which may be cut."""
        if row.values:
            return row.values[:-1]
        plain = row.text.partition(self.dialect.quote)[0] if self.dialect.quote else row.text
        return self.dialect.values(plain)[:-1]

    def _has_only_an_empty_field_more(self, row: Row) -> bool:
        """Some writers end each row with a delimiter."""
        return len(row.values) == len(self.columns) + 1 and not row.values[-1]

    def _illegible(self, values: Sequence[Value]) -> list[Value]:
        """The row with its key, and marks in every column that the mapping reads."""
        names = zip(self.columns, values, strict=True)
        return [value if place in self._key else MARK if name in self.table.used else ABSENT for place, (name, value) in enumerate(names)]

    def _keyed(self, values: Sequence[Value], places: Sequence[int]) -> str | None:
        parts = [value.strip() if isinstance(value := values[place], str) else "" for place in places]
        return None if not all(parts) or MARK in parts else SEPARATOR.join(parts)
