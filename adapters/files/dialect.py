"""The dialect of a delimited file: fields of one row, and what an empty one means. Pure.

Unlike Python's ``csv`` it tells a quoted empty field from an empty one (Oracle's extracts write them differently on purpose), and a quote
that is never closed damages its own line only, not the rows after it. Where both understand a row, both read the same
(``tests/properties/test_delimited.py``).
Sources: RFC 4180; MySQL 8 reference, LOAD DATA (escapes, ``\\N``).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal, NamedTuple

from adapters.mapping.legible import MARK

NO_STATEMENT, CLEAR = "no_statement", "clear"
ABSENT: Final = False
"""A field that states nothing. ``None`` is a field whose empty value was written on purpose, which clears."""
Value = str | None | Literal[False]
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\x00", "b": "\b", "Z": "\x1a"}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class DelimitedField(NamedTuple):
    """A field as written, without its quotes and escapes."""

    text: str
    is_quoted: bool = False
    raw: str = ""


class UnclosedQuote(Exception):
    """The row ends inside a quoted field."""


class MisplacedQuote(Exception):
    """Text follows a closing quote."""


@dataclass(frozen=True)
class Dialect:
    """How rows are written. ``quote`` is empty if there are none. ``multiline``: a quoted field may contain line ends.

    ``nulls``: unquoted texts that stand for no value, and what they mean; ``empty`` and ``quoted_empty``: what empty fields, also those of
    spaces, mean.
    ``line_end``: ``any`` (LF or CRLF), ``crlf``, ``lf`` or ``cr``.
    """

    delimiter: str = ","
    quote: str = '"'
    escape: str = "doubled"
    encoding: str = "utf-8"
    line_end: str = "any"
    multiline: bool = False
    empty: str = NO_STATEMENT
    quoted_empty: str = NO_STATEMENT
    nulls: Mapping[str, str] = field(default_factory=dict)

    def split(self, line: str) -> list[DelimitedField]:
        """The fields of a row. Raises :class:`UnclosedQuote` or :class:`MisplacedQuote`."""
        if self._is_plain(line):
            return [DelimitedField(text) for text in line.split(self.delimiter)]
        fields: list[DelimitedField] = []
        position = 0
        while True:
            one, position = self._field(line, position)
            fields.append(one)
            if position == len(line):
                return fields
            position += 1  # the delimiter

    def value(self, one: DelimitedField) -> Value:
        """What a field states."""
        if one.is_quoted:
            return one.text if one.text.strip() else _meaning(self.quoted_empty)
        if (meaning := self.nulls.get(one.raw or one.text)) is not None:
            return _meaning(meaning)
        return one.text if one.text.strip() else _meaning(self.empty)

    def values(self, line: str) -> list[Value]:
        """What the fields of a row state, with marks for what is illegible. Raises as :meth:`split`."""
        if self._is_plain(line) and not self.nulls:
            empty = _meaning(self.empty)
            found: list[Value] = [text if text.strip() else empty for text in line.split(self.delimiter)]
        else:
            found = [self.value(one) for one in self.split(line)]
        return [MARK if one and (MARK in one or "\x00" in one) else one for one in found] if MARK in line or "\x00" in line else found

    def _is_plain(self, line: str) -> bool:
        return not (self.quote and self.quote in line) and not (self._has_escapes and "\\" in line)

    @property
    def _has_escapes(self) -> bool:
        return self.escape == "backslash"

    def _field(self, line: str, position: int) -> tuple[DelimitedField, int]:
        """The field at a position, and the position behind it: of a delimiter, or the end."""
        if self.quote and line.startswith(self.quote, position):
            found = self._quoted.match(line, position)
            if found is None:
                raise UnclosedQuote
            if found.end() < len(line) and line[found.end()] != self.delimiter:
                raise MisplacedQuote
            return DelimitedField(self._unescaped(found[1]), is_quoted=True), found.end()
        found = self._unquoted.match(line, position)
        assert found is not None  # it matches the empty text too
        raw = found[0]
        return DelimitedField(_ESCAPED.sub(_literal, raw) if self._has_escapes and "\\" in raw else raw, raw=raw), found.end()

    def _unescaped(self, text: str) -> str:
        return _ESCAPED.sub(_literal, text) if self._has_escapes else text.replace(self.quote * 2, self.quote)

    @cached_property
    def _quoted(self) -> re.Pattern[str]:
        quote = re.escape(self.quote)
        inside = rf"(?:[^{quote}\\]|\\.)*+" if self._has_escapes else f"(?:[^{quote}]|{quote}{quote})*+"
        return re.compile(f"{quote}({inside}){quote}", re.DOTALL)

    @cached_property
    def _unquoted(self) -> re.Pattern[str]:
        delimiter = re.escape(self.delimiter)
        return re.compile(rf"(?:[^{delimiter}\\]|\\.|\\\Z)*+" if self._has_escapes else f"[^{delimiter}]*+", re.DOTALL)


def dialect(part: Mapping[str, Any]) -> Dialect:
    """The dialect of a source's settings. Raises ``ValueError`` that says what is wrong."""
    written = {name: value for name, value in part.items() if value is not None}
    if written.get("quote") == "none":
        written["quote"] = ""
    found = Dialect(**written)
    try:
        codecs.lookup(found.encoding)
        "x".encode(found.encoding)
    except (LookupError, AttributeError, TypeError, UnicodeError):
        raise ValueError(f"dialect.encoding {found.encoding!r} is unknown: use a name like utf-8, utf-16, windows-1252") from None
    if found.delimiter == found.quote or {found.delimiter, found.quote} & set("\r\n\\"):
        raise ValueError("dialect.delimiter and dialect.quote must be two different characters, and no line end or backslash")
    return found


def _literal(found: re.Match[str]) -> str:
    return ESCAPES.get(found[1], found[1])


def _meaning(word: str) -> Value:
    return None if word == CLEAR else ABSENT
