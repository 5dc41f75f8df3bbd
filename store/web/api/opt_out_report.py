"""The opt-out report as JSON or CSV (RFC 4180), piece by piece, for HTTP and the command line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec
from msgspec import Struct

from store.patients.opt_out_report import OptedOut, Wanted

COLUMNS = OptedOut._fields
FORMULA = ("=", "@", "\t", "-")
ROWS_AT_ONCE = 500
encode = msgspec.json.Encoder().encode


class OptedOutOut(Struct, frozen=True):
    """A number that may not be texted from ``line``; ``null`` is every line but ``except_lines``."""

    number: str
    line: str | None
    scope: str
    topic: str | None
    authority: str
    at: datetime | None
    except_lines: tuple[str, ...]
    patients: tuple[str, ...]


def asked(which: Wanted) -> dict[str, Any]:
    """What was asked about, for the audit log."""
    return {name: value for name, value in which._asdict().items() if value is not None}


def json_pieces(found: Iterable[OptedOut]) -> Iterator[str]:
    """The report as the pieces of one JSON array."""
    opening = "["
    for rows in _groups(found):
        yield opening + encode([OptedOutOut(*one) for one in rows]).decode()[1:-1]
        opening = ","
    yield "[]" if opening == "[" else "]"


def csv_pieces(found: Iterable[OptedOut]) -> Iterator[str]:
    """The report as the pieces of a table. Lists are parted by spaces; times are ISO 8601."""
    yield _table([COLUMNS])
    for rows in _groups(found):
        yield _table([_inert(cell) for cell in _cells(one)] for one in rows)


def as_csv(found: Iterable[OptedOut]) -> str:
    """The report as a table, whole."""
    return "".join(csv_pieces(found))


def _groups(found: Iterable[OptedOut]) -> Iterator[list[OptedOut]]:
    rest = iter(found)
    while rows := list(islice(rest, ROWS_AT_ONCE)):
        yield rows


def _table(rows: Iterable[Iterable[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _cells(one: OptedOut) -> tuple[str, ...]:
    said = (one.number, one.line or "", one.scope, one.topic or "", one.authority, _time(one) or "")
    return (*said, " ".join(one.except_lines), " ".join(one.patients))


def _time(one: OptedOut) -> str | None:
    return one.at.isoformat().replace("+00:00", "Z") if one.at else None


def _inert(cell: str) -> str:
    """A sender's name or a topic that a spreadsheet would take for a formula. Numbers keep their plus sign: nothing follows but digits."""
    digits = cell.startswith("+") and cell[1:].replace(" +", "").isdigit()
    return f"'{cell}" if cell.startswith((*FORMULA, "+")) and not digits else cell
