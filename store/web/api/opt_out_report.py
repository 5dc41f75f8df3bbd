"""The opt-out report as JSON or CSV (RFC 4180), in pieces, for HTTP and the command line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from store.domain.message_class import MessageClass
from store.patients.opt_out_report import EVERYTHING, OptedOut, Wanted

COLUMNS = OptedOut._fields
FORMULA = ("=", "@", "\t", "-")
ROWS_AT_ONCE = 500
encode = msgspec.json.Encoder().encode


class OptedOutOut(Struct, frozen=True):
    """A number that may not be texted from ``line``; ``null`` means every line except ``except_lines``.

    With the filter ``channel``: one that may not be called, or an e-mail address.
    """

    number: str
    line: str | None
    scope: str
    topic: str | None
    authority: str
    at: datetime | None
    except_lines: tuple[str, ...]
    patients: tuple[str, ...]
    in_reply_to: MessageClass


def filters(which: Wanted) -> dict[str, Any]:
    """The report's filters, for the audit log."""
    return {name: value for name, value in which._asdict().items() if value != getattr(EVERYTHING, name)}


def json_pieces(found: Iterable[OptedOut]) -> Iterator[str]:
    """The report as pieces of one JSON array."""
    opening = "["
    for rows in _groups(found):
        yield opening + encode([OptedOutOut(*one) for one in rows]).decode()[1:-1]
        opening = ","
    yield "[]" if opening == "[" else "]"


def csv_pieces(found: Iterable[OptedOut]) -> Iterator[str]:
    """The report as pieces of a CSV table. Lists are separated by spaces; times are ISO 8601."""
    yield _table([COLUMNS])
    for rows in _groups(found):
        yield _table([without_formula(cell) for cell in _cells(one)] for one in rows)


def as_csv(found: Iterable[OptedOut]) -> str:
    """The whole report as CSV."""
    return "".join(csv_pieces(found))


def _groups(found: Iterable[OptedOut]) -> Iterator[list[OptedOut]]:
    remaining = iter(found)
    while rows := list(islice(remaining, ROWS_AT_ONCE)):
        yield rows


def _table(rows: Iterable[Iterable[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _cells(one: OptedOut) -> tuple[str, ...]:
    cells = (one.number, one.line or "", one.scope, one.topic or "", one.authority, _time(one) or "")
    answered = " ".join(f"{name}={value}" for name, value in asdict(one.in_reply_to).items() if value is not None)
    return (*cells, " ".join(one.except_lines), " ".join(one.patients), answered)


def _time(one: OptedOut) -> str | None:
    return one.at.isoformat().replace("+00:00", "Z") if one.at else None


def without_formula(cell: str) -> str:
    """Quotes a cell that a spreadsheet would take for a formula, such as a topic. Phone numbers keep their plus sign."""
    digits = cell.startswith("+") and cell[1:].replace(" +", "").isdigit()
    return f"'{cell}" if cell.startswith((*FORMULA, "+")) and not digits else cell
