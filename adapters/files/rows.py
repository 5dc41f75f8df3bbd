"""The rows of a delimited file: its bytes, decoded, cut into lines, and each line into fields. Pure.

Whatever cannot be read affects its own row. A line that is too long is cut, so that memory stays bounded whatever the file holds.
"""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from adapters.files.dialect import Dialect, MisplacedQuote, UnclosedQuote, Value

LONGEST_LINE = 256 * 1024
"""Characters of a row. Longer ones are rejected."""
MOST_LINES = 100
"""Lines of a row whose quoted fields contain line ends."""
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
TOO_LONG, UNCLOSED, MISPLACED = "row_too_long", "quote_not_closed", "quote_misplaced"
DETAILS = {
    TOO_LONG: f"the row has more than {LONGEST_LINE:,} characters: check dialect.line_end and dialect.quote",
    UNCLOSED: "a quoted field is not closed on its line: check dialect.quote, or set dialect.multiline if fields contain line ends",
    MISPLACED: "text follows a closing quote: quotes inside a field must be doubled (or dialect.escape must be backslash)",
}


class RowLine(NamedTuple):
    """A line and its end as written. ``is_cut``: it was longer than :data:`LONGEST_LINE`."""

    text: str
    end: str = ""
    is_cut: bool = False


class Row(NamedTuple):
    """A row: the number of its first line from 1, its text, and its values; ``reason`` instead of values if it has none."""

    number: int
    text: str
    values: list[Value]
    reason: str = ""


def decoded(chunks: Iterable[bytes], encoding: str) -> Iterator[str]:
    """The text, with U+FFFD for what is illegible. A byte order mark decides the encoding, whatever is configured."""
    stream = iter(chunks)
    first = b""
    while len(first) < 4 and (chunk := next(stream, b"")):
        first += chunk
    encoding = next((name for mark, name in BYTE_ORDER_MARKS if first.startswith(mark)), encoding)
    return codecs.iterdecode(chain([first], stream), encoding, errors="replace")


def lines(texts: Iterable[str], line_end: str) -> Iterator[RowLine]:
    """The lines. With ``any``, LF or CRLF ends a line. The last one may lack its end."""
    end = {"crlf": "\r\n", "cr": "\r"}.get(line_end, "\n")
    buffer, is_cut = "", False
    for text in texts:
        *whole, buffer = (buffer + text).split(end)
        for line in whole:
            yield from _line(line, end, line_end, is_cut=is_cut)
            is_cut = False
        if len(buffer) > LONGEST_LINE:
            if not is_cut:
                yield RowLine(buffer[:LONGEST_LINE], is_cut=True)
            buffer, is_cut = buffer[-1:] if end == "\r\n" else "", True
    if buffer and not is_cut:
        yield from _line(buffer, "", line_end, is_cut=False)


def _line(text: str, end: str, line_end: str, *, is_cut: bool) -> Iterator[RowLine]:
    """The line, unless its beginning was already yielded."""
    if is_cut:
        return
    if line_end == "any" and text.endswith("\r"):
        text, end = text[:-1], f"\r{end}"
    yield RowLine(text[:LONGEST_LINE], end, len(text) > LONGEST_LINE)


def rows(found: Iterable[RowLine], dialect: Dialect) -> Iterator[Row]:
    """The rows; empty lines are none. A quoted field that is not closed within :data:`MOST_LINES` rejects its first line only."""
    stream, ahead, number = iter(found), deque[RowLine](), 0
    while (line := ahead.popleft() if ahead else next(stream, None)) is not None:
        number += 1
        if not line.text.strip():
            continue
        row = _row(number, line, dialect)
        if row.reason == UNCLOSED and dialect.multiline:
            row, taken = _longer(row, line, stream, ahead, dialect)
            number += taken
        yield row


def _row(number: int, line: RowLine, dialect: Dialect) -> Row:
    if line.is_cut:
        return Row(number, line.text, [], TOO_LONG)
    try:
        return Row(number, line.text, dialect.values(line.text))
    except UnclosedQuote:
        return Row(number, line.text, [], UNCLOSED)
    except MisplacedQuote:
        return Row(number, line.text, [], MISPLACED)


def _longer(row: Row, first: RowLine, stream: Iterator[RowLine], ahead: deque[RowLine], dialect: Dialect) -> tuple[Row, int]:
    """The row with the lines after it that close its quote, and their number. If none does, they are put back into ``ahead``."""
    taken: list[RowLine] = []
    text = first.text + first.end
    while len(taken) < MOST_LINES and len(text) <= LONGEST_LINE:
        line = ahead.popleft() if ahead else next(stream, None)
        if line is None:
            break
        taken.append(line)
        if line.is_cut:
            break
        if dialect.quote not in line.text:
            text += line.text + line.end
            continue
        longer = _row(row.number, RowLine(text + line.text), dialect)
        if longer.reason != UNCLOSED:
            return longer, len(taken)
        text += line.text + line.end
    ahead.extendleft(reversed(taken))
    return row, 0
