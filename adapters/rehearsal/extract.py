"""Delimited extracts of the rehearsal EMR: sets of files with dates, sequence numbers, trailers and done-markers, and their faults.

Memory does not grow with the population: rows are created while they are written. A file gets its own name when it is complete, and its
marker after that.
"""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain, islice, repeat
from pathlib import Path
from typing import IO, Any, cast

from adapters.rehearsal.chart import Chart
from adapters.rehearsal.dialect import AUTHORITY
from adapters.rehearsal.extract_layouts import MARKER, TRAILER, ExtractLayout, LaidTable, settings
from adapters.rehearsal.faults import Faults

DELTA, SNAPSHOT = "delta", "snapshot"
TRAILER_FAULT, COLUMNS, SHORT, GAP, ENCODING, BOMB, CUT = (
    "lying-trailer", "wrong-columns", "short-row", "sequence-gap", "other-encoding", "zip-bomb", "cut-extract",
)  # fmt: skip
EXTRACT_FAULTS = (TRAILER_FAULT, COLUMNS, SHORT, GAP, ENCODING, BOMB, CUT)
BOMB_BYTES, ZEROS = 66 * 1024 * 1024, "0" * 64 * 1024
WITHHELD = "withheld"
UNFINISHED = ".tmp"


@dataclass(slots=True)
class Extracts:
    """Writes the extracts of one layout to ``folder``, a set at a time. ``number`` is that of the last set."""

    chart: Chart
    faults: Faults
    folder: Path
    layout: ExtractLayout
    semantics: str = SNAPSHOT
    number: int = 0
    _since: datetime | None = None
    _written: datetime | None = None
    _withheld: list[Path] = field(default_factory=list)

    def write(self) -> list[Path]:
        """Writes the next set: every patient, or in a delta those who changed since the last one. Returns its files, without markers.

        A set with the fault ``sequence-gap`` is kept back until :meth:`release`.
        """
        fault = self.faults.next_extract()
        now, self.number = self.chart.clock().astimezone(UTC), self.number + 1
        self._since, self._written = self._written if self.semantics == DELTA else None, now
        folder = self.folder / WITHHELD if fault == GAP else self.folder
        folder.mkdir(parents=True, exist_ok=True)
        names = [now.strftime(name).replace("{sequence}", str(self.number)) for name in self.layout.names]
        found = self._files(folder, names, self._since, fault)
        self._withheld += found if fault == GAP else []
        return found

    def repeat(self) -> list[Path]:
        """Writes the last set again, as of now and with the next number, as after a call to the people of the EMR."""
        self._written = self._since
        return self.write()

    def release(self) -> None:
        """Delivers the sets that were kept back."""
        for path in self._withheld:
            _deliver(path, self.folder / path.name)
            (self.folder / WITHHELD / (path.name + MARKER)).unlink()
        self._withheld.clear()

    def source(self, *, enterprise: str) -> dict[str, Any]:
        """A ``sources`` entry that reads the folder."""
        return {
            "enterprise": enterprise,
            "display_name": f"Rehearsal EMR (extracts, {self.layout.name})",
            "adapter": "files.delimited",
            "path": str(self.folder.resolve()),
            "semantics": self.semantics,
            "settle": "0.1s",
            "patient_id": {"authority": AUTHORITY, "type": "MR"},
            "schedule": {"every": "1m"},
            **settings(self.layout),
        }

    def _files(self, folder: Path, names: list[str], since: datetime | None, fault: str) -> list[Path]:
        found = []
        for name, tables in zip(
            names, [self.layout.tables] if self.layout.archive else [(one,) for one in self.layout.tables], strict=True
        ):
            unfinished = folder / (name + UNFINISHED)
            with unfinished.open("wb") as file:
                self._pack(file, tables, since, fault)
            if fault == CUT:
                os.truncate(unfinished, unfinished.stat().st_size * 2 // 3)
            found.append(_deliver(unfinished, folder / name))
        return found

    def _pack(self, file: IO[bytes], tables: tuple[LaidTable, ...], since: datetime | None, fault: str) -> None:
        """The tables as one file: a zip file, a gzip file, or plain."""
        with ExitStack() as stack:
            if self.layout.archive:
                archive = stack.enter_context(zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED))
                for table in tables:
                    with archive.open(table.file, "w", force_zip64=True) as member:
                        self._write(member, table, since, fault)
                return
            if self.layout.gzip or fault == BOMB:
                file = cast(IO[bytes], stack.enter_context(gzip.open(file, "wb")))
            self._write(file, tables[0], since, fault)

    def _write(self, file: IO[bytes], table: LaidTable, since: datetime | None, fault: str) -> None:
        # UTF-16 without a byte order mark: nothing in the file says so
        text = io.TextIOWrapper(file, encoding="utf-16-le" if fault == ENCODING else "utf-8", newline="")
        lines = (line + self.layout.line_end for line in self._lines(table, since, fault))
        for part in chain(islice(lines, 1), repeat(ZEROS, BOMB_BYTES // len(ZEROS))) if fault == BOMB else lines:
            text.write(part)
        text.flush()
        text.detach()

    def _lines(self, table: LaidTable, since: datetime | None, fault: str) -> Iterator[str]:
        columns = [f"{name}_2" if fault == COLUMNS and name == table.refusing else name for name in table.columns]
        yield self.layout.delimiter.join(columns)
        count = 0
        for count, row in enumerate(self._rows(table, since), 1):
            is_short = fault == SHORT and count == 1 and table is self.layout.tables[-1]
            yield self.layout.delimiter.join(row[:-1] if is_short else row)
        if self.layout.has_trailer:
            yield self.layout.delimiter.join((TRAILER, str(count + (fault == TRAILER_FAULT))))

    def _rows(self, table: LaidTable, since: datetime | None) -> Iterator[tuple[str, ...]]:
        for rows in table.passes:
            for index in self.chart.indexes(lambda updated: since is None or updated >= since):
                yield from (tuple(row) for row in rows(self.chart.entry(index)))


def _deliver(written: Path, path: Path) -> Path:
    written.rename(path)
    path.with_name(path.name + MARKER).touch()
    return path
