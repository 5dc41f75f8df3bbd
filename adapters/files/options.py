"""The settings of a delimited source, read and checked once. Pure.

Tables form a tree: the first one has the columns that name the ``patient``, every other table joins the rows of a table before it. A
wrong setting raises ``ValueError`` with its name and what it accepts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, NamedTuple

from adapters.base import SourceSettings
from adapters.files.dialect import Dialect, dialect
from adapters.files.names import NamePattern, compile_pattern
from adapters.files.unpack import LARGEST
from adapters.mapping.rules import paths
from adapters.options import listed, number
from adapters.record import path as record_path
from adapters.record.options import RecordOptions, record_options

ROWS, EXTRACT = "rows", "extract"
AS_OF, UNCERTAIN = "as_of", "uncertain"
NAME, MODIFIED = "name", "modified"
PATIENCE = 6 * 3600.0  # seconds
DAY = 86_400.0
Options = Mapping[str, Any]
_NOT_IN_NAMES = re.compile(r"[^\w-]")


class Trailer(NamedTuple):
    """The last line: it begins with ``starts``, and its ``field`` (from 1) counts the ``rows``, or all ``lines`` with header and itself."""

    starts: str
    field: int
    counts: str = "rows"


@dataclass(frozen=True)
class ExtractTable:
    """One file of a set. ``key``: the columns by which its rows are found: of the patient, or of the row above that they belong to.

    ``above``: the table that it joins and that table's columns, in the order of ``key``; empty for the patients' table. ``many``: a patient
    has several rows. ``used``: the columns that the mapping reads; ``optional`` ones may be missing. ``dates``: column -> its format.
    """

    name: str
    pattern: NamePattern
    key: tuple[str, ...]
    into: str = ""
    above: tuple[str, ...] = ()
    many: bool = False
    header: bool = True
    columns: tuple[str, ...] = ()
    used: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    reports_unmatched: bool = True
    dates: Options = field(default_factory=dict)


@dataclass(frozen=True)
class Extract:
    """What a source delivers. ``snapshot``: each set has every patient. ``as_of``: where the time of a set comes from.

    ``done``: the name of the file that says that a set, or with ``{file}`` a file, is complete. ``every``: the time between two sets.
    ``patience``: how long a set may miss a file before it is reported.
    """

    tables: tuple[ExtractTable, ...]
    dialect: Dialect
    record: RecordOptions
    snapshot: bool
    trailer: Trailer | None = None
    archive: NamePattern | None = None
    done: str = ""
    as_of: str = ""
    every: timedelta | None = None
    patience: timedelta = timedelta(seconds=PATIENCE)
    largest: int = LARGEST

    @property
    def patients(self) -> ExtractTable:
        """The patients' table."""
        return self.tables[0]


def extract(settings: SourceSettings) -> Extract:
    """What the source delivers."""
    options = settings.options
    record = record_options(settings)
    archive = compile_pattern(str(options["archive"])) if options.get("archive") else None
    tables = _tables(options.get("tables") or {})
    if record.id not in tables[0].key:
        raise ValueError(f"record.id is {record.id!r}: set it to the column in 'patient' of table {tables[0].name!r}")
    used = _used(tables, [*_record_paths(record), *(path for rule in settings.mapping.values() for path in paths(rule))])
    found = Extract(
        tuple(replace(table, used=frozenset(used[table.name])) for table in tables),
        dialect(options.get("dialect") or {}),
        record,
        options.get("semantics") == "snapshot",
        Trailer(**options["trailer"]) if options.get("trailer") else None,
        archive,
        str(options.get("done") or ""),
        str(options.get("as_of") or (NAME if (archive or tables[0].pattern).has_date else "")),
        timedelta(seconds=float(options["every"])) if options.get("every") else None,
        timedelta(seconds=number(options, "patience", PATIENCE, least=0, most=30 * DAY)),
        int(options.get("max_unpacked_bytes") or LARGEST),
    )
    _check_names(found)
    return found


def record_settings(settings: SourceSettings) -> dict[str, Any]:
    """The options with which the records of a source are mapped: the time of the set counts for a record that has none of its own."""
    record = dict(settings.options.get("record") or {})
    return {**settings.options, "record": {**record, "updated": [*listed(record, "updated"), f"{EXTRACT}.{AS_OF}"]}}


def column_name(text: str) -> str:
    """The name of a column as paths have it: ``Home Phone`` is ``Home_Phone``."""
    name = _NOT_IN_NAMES.sub("_", text.strip())
    return f"_{name}" if name[:1].isdigit() else name


def _tables(parts: Options) -> list[ExtractTable]:
    """The tables, the patients' first. A table may only join one that is written before it."""
    found: dict[str, ExtractTable] = {}
    for name, part in parts.items():
        table = _table(name, part)
        if not table.into and found:
            raise ValueError(f"tables.{name} has no 'into': all tables but the first join another one")
        if table.into and table.into not in found:
            raise ValueError(f"tables.{name}.into is {table.into!r}: name a table that is written above it")
        found[name] = table
    if not found:
        raise ValueError("tables is missing: describe at least the file with the patients")
    return list(found.values())


def _table(name: str, part: Options) -> ExtractTable:
    join = {column_name(one): column_name(above) for one, above in (part.get("join") or {}).items()}
    into, header = str(part.get("into") or ""), bool(part.get("header", True))
    key, columns = _columns(part, "patient"), _columns(part, "columns")
    if name in (ROWS, EXTRACT) or not record_path.is_name(name):
        raise ValueError(f"tables.{name} is not usable as a name: use letters, digits and _, but neither {ROWS} nor {EXTRACT}")
    if bool(into) != bool(join) or bool(into) == bool(key):
        raise ValueError(f"tables.{name} needs 'patient', or 'into' and 'join' if its rows belong to another table")
    if part.get("rows") == "many" and into:
        raise ValueError(f"tables.{name}.rows is for the patients' table: a joined table may always have several rows")
    if not header and not columns:
        raise ValueError(f"tables.{name} has no header, so it needs 'columns'")
    return ExtractTable(
        name,
        compile_pattern(str(part["file"])),
        tuple(join) if into else key,
        into,
        tuple(join.values()),
        part.get("rows") == "many",
        header,
        columns,
        optional=frozenset(_columns(part, "optional")),
        reports_unmatched=part.get("unmatched") != "ignore",
        dates={column_name(name): form for name, form in (part.get("dates") or {}).items()},
    )


def _columns(part: Options, name: str) -> tuple[str, ...]:
    return tuple(map(column_name, listed(part, name)))


def _record_paths(record: RecordOptions) -> list[str]:
    found = [record.id, record.patient_id, *record.updated, record.merged_into, *record.name]
    for phone in record.phones:
        within = f"{phone.each}." if phone.each else ""
        found += [within + path for path in (phone.number, phone.kind_from, phone.rank, phone.unless) if path]
    for email in record.emails:
        found += [(f"{email.each}." if email.each else "") + path for path in (email.address, email.unless) if path]
    return [path for path in found if path]


def _used(tables: Sequence[ExtractTable], written: Iterable[str]) -> dict[str, set[str]]:
    """For each table the columns that these paths read in it, and those that other tables join."""
    used: dict[str, set[str]] = {table.name: set(table.key) for table in tables}
    for table in tables[1:]:
        used[table.into] |= set(table.above)
    into = {table.name: table.into for table in tables}
    for path in written:
        here = tables[0].name
        for name, is_filter in record_path.names(path):
            if not is_filter and (name == ROWS and tables[0].many):
                continue
            if not is_filter and into.get(name) == here:
                here = name
                continue
            if name != EXTRACT:
                used[here].add(name)
            if not is_filter:
                break
    return used


def _check_names(found: Extract) -> None:
    patterns = [found.archive] if found.archive else [table.pattern for table in found.tables]
    if len({(one.directives, one.has_sequence) for one in patterns}) > 1:
        raise ValueError("tables: the names of the files of a set must have the same date and sequence in them")
    if found.as_of == NAME and not patterns[0].has_date:
        raise ValueError("as_of is 'name', but the name of the file has no date: write it like prefs_%Y%m%d.csv")
    if found.every and not patterns[0].has_date:
        raise ValueError("every needs a date in the name of the file: write it like prefs_%Y%m%d.csv")
    if found.done and "{file}" not in found.done:
        compile_pattern(found.done)
