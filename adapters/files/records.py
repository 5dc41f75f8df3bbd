"""The payloads of a set: first the rows that cannot be used, then one JSON record for each patient, or for each row of one.

A record has the columns of the patients' row as members, the rows that join it as lists under the name of their table, and ``extract``:
the time of the set (``as_of``), and whether rows were lost whose patient nobody knows (``uncertain``). With many rows for each patient it
has the key and the list ``rows``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from adapters.base import Payload
from adapters.files.dialect import ABSENT, Value
from adapters.files.loading import DETAILS
from adapters.files.options import AS_OF, EXTRACT, ROWS, UNCERTAIN, Extract, ExtractTable
from adapters.files.stage import Stage
from adapters.folders.drop_folder import DroppedFile
from adapters.locators import opaque

REPEATED = "row_repeated"
REPEATED_DETAIL = "the same row is in the file more than once"
UNMATCHED = "rows_unmatched"
UNMATCHED_DETAIL = (
    "{count:,} rows of {table} belong to no row of {above}: deliver both, or set 'unmatched: ignore' if they are not patients'"
)


@dataclass(frozen=True)
class LoadedSet:
    """A set whose files were loaded and checked. ``columns`` of each table, and its file in ``files``."""

    stage: Stage
    extract: Extract
    files: Mapping[str, DroppedFile]
    columns: Sequence[Sequence[str]]
    has_lost_rows: bool
    as_of: str = ""

    def payloads(self, skip: int = 0) -> Iterator[Payload]:
        """The payloads after the first ``skip`` ones, always in the same order."""
        place = 0
        for payload in self._problems():
            place += 1
            if place > skip:
                yield payload
        for rows in self.stage.patients():
            for found in self._of_patient(rows):
                place += 1
                if place > skip:
                    yield self._payload(found)

    @property
    def is_uncertain(self) -> bool:
        """Whether rows were lost whose patient nobody knows: any of them may have refused."""
        return self.has_lost_rows or bool(self._unmatched)

    @property
    def total(self) -> int:
        """How many payloads there are."""
        return self.stage.count_bad() + len(self._unmatched) + self.stage.count_patients()

    def locator(self, table: ExtractTable, line: int) -> str:
        """Where a row is, without naming anybody."""
        name = opaque(self.files[table.name].name)
        return f"{name}/{table.name}:{line}" if self.extract.archive else f"{name}:{line}"

    def _problems(self) -> Iterator[Payload]:
        for number, line, reason, text in self.stage.bad():
            yield self._refused(self.extract.tables[number], line, text.encode(), reason, DETAILS[reason])
        for table, count, line in self._unmatched:
            detail = UNMATCHED_DETAIL.format(count=count, table=table.name, above=table.into)
            yield self._refused(table, line, b"", UNMATCHED, detail)

    @cached_property
    def _unmatched(self) -> list[tuple[ExtractTable, int, int]]:
        """The tables with rows that join nothing, how many, and the line of the first."""
        joined = [(number, table) for number, table in enumerate(self.extract.tables) if number and table.reports_unmatched]
        found = [(table, *self.stage.unmatched(number)) for number, table in joined]
        return [one for one in found if one[1]]

    def _of_patient(self, rows: list[Any]) -> Iterator[tuple[int, Any]]:
        """The line and the record of each row, or of all rows together; ``None`` for a row that was there before."""
        if self.extract.patients.many:
            different = {row[2]: row for row in reversed(rows)}
            members = [self._row(0, row) for row in rows if different[row[2]] is row]
            yield rows[0][0], {**{name: members[0].get(name) for name in self.extract.patients.key}, ROWS: members}
            return
        seen = set[str]()
        for row in rows:
            yield row[0], None if row[2] in seen else self._row(0, row)
            seen.add(row[2])

    def _row(self, number: int, row: Any) -> dict[str, Any]:
        """A row as a JSON object, with the rows that join it. A table without any for it is absent, which states nothing."""
        table, (_, _, text, *below) = self.extract.tables[number], row
        values: list[Value] = json.loads(text)
        found: dict[str, Any] = {name: value for name, value in zip(self.columns[number], values, strict=True) if value is not ABSENT}
        for name, form in table.dates.items():
            if isinstance(found.get(name), str):
                found[name] = iso(found[name], form)
        for child, key in zip(self.stage.children(table), below, strict=True):
            joined = {one[2]: one for one in self.stage.joined(child, key)} if key is not None else {}
            if joined:
                found[self.extract.tables[child].name] = [self._row(child, one) for one in joined.values()]
        return found

    def _payload(self, found: tuple[int, Any]) -> Payload:
        line, record = found
        if record is None:
            return self._refused(self.extract.patients, line, b"", REPEATED, REPEATED_DETAIL)
        known = ({AS_OF: self.as_of} if self.as_of else {}) | ({UNCERTAIN: True} if self.is_uncertain else {})
        body = json.dumps({**record, EXTRACT: known} if known else record, ensure_ascii=True, separators=(",", ":")).encode()
        return Payload(body, self.locator(self.extract.patients, line), datetime.now(UTC), self._written(self.extract.patients))

    def _refused(self, table: ExtractTable, line: int, body: bytes, reason: str, detail: str) -> Payload:
        return Payload(body, self.locator(table, line), datetime.now(UTC), self._written(table), (reason, detail))

    def _written(self, table: ExtractTable) -> datetime:
        return datetime.fromtimestamp(self.files[table.name].written, UTC)


def iso(text: str, form: str) -> str:
    """A date or time in ISO 8601, as precise as its format; the text itself if it does not have that format."""
    try:
        moment = datetime.strptime(text.strip(), form)
    except ValueError:
        return text
    precision = next((width for mark, width in (("%f", "microseconds"), ("%S", "seconds"), ("%M", "minutes")) if mark in form), "")
    if not precision and ("%H" in form or "%I" in form):
        precision = "hours"
    return moment.isoformat(timespec=precision) if precision else f"{moment:%Y-%m-%d}"
