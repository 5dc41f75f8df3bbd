"""SQL of bulk statements, built once per table and columns, and rows in the form the driver takes. Pure.

SQLite runs one statement per row (executemany). PostgreSQL gets one array per column, so that any number of rows is one statement. The
arrays are written here as text, such as ``{1,2}`` or ``{"a","b"}`` (PostgreSQL manual, "Array Input and Output Syntax"): the driver
would inspect each element in Python to find its type, which the column already tells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Integer, LargeBinary, Table, Text

from store.db.tables import UtcDateTime


def texts(values: Sequence[str | None]) -> str:
    """A list of text; ``None`` is NULL."""
    try:
        joined = '","'.join(values)  # type: ignore[arg-type]  # NULL is handled below
    except TypeError:
        return f"{{{','.join(['NULL' if value is None else _quoted(value) for value in values])}}}"
    if "\\" not in joined and joined.count('"') == 2 * (len(values) - 1):
        return f'{{"{joined}"}}'
    return f"{{{','.join([_quoted(value) for value in values if value is not None])}}}"


def numbers(values: Sequence[int | None]) -> str:
    """A list of whole numbers; ``None`` is NULL."""
    return f"{{{','.join(['NULL' if value is None else str(value) for value in values])}}}"


def times(values: Sequence[datetime | None], known: dict[datetime | None, str] | None = None) -> str:
    """A list of aware times; ``None`` is NULL. The rows of a batch share most of their times, so each is converted once.

    ``known``: those of other columns, converted.
    """
    known = {} if known is None else known
    known[None] = "NULL"
    for value in values:
        if value is not None and value not in known:
            known[value] = f'"{value.astimezone(UTC).isoformat()}"'
    return f"{{{','.join([known[value] for value in values])}}}"


def octets(values: Sequence[bytes | None]) -> str:
    """A list of bytes; ``None`` is NULL."""
    return f"{{{','.join(['NULL' if value is None else _hexadecimal(value) for value in values])}}}"


def listed(values: Sequence[Any]) -> str:
    """A list of text or of numbers, none of them NULL."""
    if not values:
        return "{}"
    return numbers(values) if isinstance(values[0], int) else texts(values)


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _hexadecimal(value: bytes) -> str:
    return f'"\\\\x{value.hex()}"'


Rows = Sequence[tuple[Any, ...]]
Columns = tuple[str, ...]
_ARRAYS: tuple[tuple[Any, Callable[[Sequence[Any]], str]], ...] = (
    (Text, texts),
    ((BigInteger, Integer), numbers),
    (UtcDateTime, times),
    (LargeBinary, octets),
)
_cached = lru_cache(maxsize=1_000)  # more than the statements in the code


class SqlStatement(NamedTuple):
    """``prepared`` turns rows into the parameters of ``sql``: as many tuples (``many``), or one array per column."""

    sql: str
    prepared: Callable[[Rows], Sequence[Any]]
    many: bool


@_cached
def insert(declared: Any, columns: Columns, *, sqlite: bool, replacing: bool = False) -> SqlStatement:
    """Adds rows; with ``replacing``, rows with the same primary key are replaced."""
    table: Table = declared.__table__
    tail = _on_conflict(table, columns) if replacing else ""
    names = ", ".join(columns)
    if sqlite:
        marks = ", ".join("?" * len(columns))
        return SqlStatement(f"INSERT INTO {table.name} ({names}) VALUES ({marks}){tail}", _binder(table, columns), many=True)
    return SqlStatement(
        f"INSERT INTO {table.name} ({names}) SELECT * FROM unnest({_arrays(table, columns)}){tail}",
        _by_column(table, columns),
        many=False,
    )


@_cached
def update(declared: Any, keys: Columns, columns: Columns, *, sqlite: bool) -> SqlStatement:
    """Sets ``columns`` where ``keys`` match; rows are tuples of the columns first, the keys last."""
    table: Table = declared.__table__
    names = (*columns, *keys)
    if sqlite:
        assigned, matched = ", ".join(f"{name} = ?" for name in columns), _matched(keys)
        return SqlStatement(f"UPDATE {table.name} SET {assigned} WHERE {matched}", _binder(table, names), many=True)
    assigned = ", ".join(f"{name} = incoming.{name}" for name in columns)
    matched = " AND ".join(f"{table.name}.{name} = incoming.{name}" for name in keys)
    incoming = f"unnest({_arrays(table, names)}) AS incoming({', '.join(names)})"
    return SqlStatement(f"UPDATE {table.name} SET {assigned} FROM {incoming} WHERE {matched}", _by_column(table, names), many=False)


@_cached
def delete(declared: Any, keys: Columns, *, sqlite: bool) -> SqlStatement:
    """Removes the rows that match each tuple of ``keys``."""
    table: Table = declared.__table__
    if sqlite:
        return SqlStatement(f"DELETE FROM {table.name} WHERE {_matched(keys)}", _binder(table, keys), many=True)
    matched = " AND ".join(f"{table.name}.{name} = gone.{name}" for name in keys)
    gone = f"unnest({_arrays(table, keys)}) AS gone({', '.join(keys)})"
    return SqlStatement(f"DELETE FROM {table.name} USING {gone} WHERE {matched}", _by_column(table, keys), many=False)


@_cached
def select(sql: str, single: tuple[bool, ...], *, sqlite: bool) -> str:
    """Hand-written SQL as the driver takes it. ``?`` binds one value, ``IN ??`` a list, or the one value of a list that is ``single``."""
    for one in single:
        sql = sql.replace("IN ??", "= ?" if one else "IN (SELECT value FROM json_each(?))" if sqlite else "= ANY(?)", 1)
    return sql if sqlite else sql.replace("%", "%%").replace("?", "%s")


def is_single(values: Sequence[Any]) -> bool:
    """Whether a list is a value that is compared directly, which is cheaper. Text with unusual characters goes the way of lists."""
    return len(values) == 1 and (isinstance(values[0], int) or (values[0].isascii() and values[0].isprintable()))


def in_json(values: Sequence[Any]) -> str:
    """A list of text or of numbers as JSON. ``json.dumps`` prepares an encoder for each list."""
    if not values:
        return "[]"
    if isinstance(values[0], int):
        return f"[{','.join(map(str, values))}]"
    joined = '","'.join(values)
    if joined.isascii() and joined.isprintable() and "\\" not in joined and joined.count('"') == 2 * (len(values) - 1):
        return f'["{joined}"]'
    return f"[{','.join(map(encode_basestring_ascii, values))}]"


@_cached
def one_text(declared: Any, columns: Columns, *, sqlite: bool) -> str:
    """Joins a row's columns in the database, ten times faster than reading them. Times are in UTC, to the microsecond."""
    table: Table = declared.__table__
    if sqlite:
        return " || char(31) || ".join(f"coalesce({name}, '')" for name in columns)
    time = "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"
    forms = (time if isinstance(table.c[name].type, UtcDateTime) else "coalesce({}::text, '')" for name in columns)
    texts = ", ".join(form.format(name) for form, name in zip(forms, columns, strict=True))
    return f"concat_ws(chr(31), {texts})"


def added_text(columns: Columns, *, sqlite: bool) -> str:
    """What columns of text add to :func:`one_text` where they have a value."""
    return "".join(f" || coalesce({'char' if sqlite else 'chr'}(31) || {name}, '')" for name in columns)


def _on_conflict(table: Table, columns: Columns) -> str:
    keys = [column.name for column in table.primary_key]
    changed = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in keys)
    return f" ON CONFLICT ({', '.join(keys)}) DO " + (f"UPDATE SET {changed}" if changed else "NOTHING")


def _matched(keys: Columns) -> str:
    return " AND ".join(f"{name} = ?" for name in keys)


def _arrays(table: Table, columns: Columns) -> str:
    return ", ".join(f"%s::{table.c[name].type.compile(_postgresql())}[]" for name in columns)


@cache
def _postgresql() -> Any:
    from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg  # only imported for PostgreSQL

    return PGDialect_psycopg()  # type: ignore[no-untyped-call]


def _by_column(table: Table, columns: Columns) -> Callable[[Rows], Sequence[str]]:
    writers = [next(write for kind, write in _ARRAYS if isinstance(table.c[name].type, kind)) for name in columns]

    def by_column(rows: Rows) -> Sequence[str]:
        known: dict[datetime | None, str] = {}
        columns = zip(writers, zip(*rows, strict=True), strict=True)
        return [times(column, known) if write is times else write(column) for write, column in columns]

    return by_column


def _binder(table: Table, columns: Columns) -> Callable[[Rows], Sequence[Any]]:
    """Binds rows for SQLite, which has no type for times: they are ISO 8601 text in UTC, which sorts by time."""
    times = [place for place, name in enumerate(columns) if isinstance(table.c[name].type, UtcDateTime)]
    if not times:
        return list

    def bound(rows: Rows) -> Sequence[Any]:
        known: dict[datetime | None, str | None] = {None: None}  # the rows of a batch share most of their times
        bound_rows = []
        for row in rows:
            values = list(row)
            for place in times:
                at = values[place]
                text = known.get(at)
                if text is None and at is not None:
                    text = known[at] = at.astimezone(UTC).isoformat()
                values[place] = text
            bound_rows.append(values)
        return bound_rows

    return bound
