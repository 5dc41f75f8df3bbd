"""A fast, tolerant reader of HL7 v2 in its ER7 encoding. Pure.

Source: HL7 v2.9 chapter 2, "Message construction rules".

It is fast because it is lazy: the bytes are decoded and split into lines once, and a segment is split into fields on first use.
Repetitions and components are split with ``str.split`` where needed. A field has three states: a value, ``""`` (:data:`DELETE`: delete
the earlier value) and empty (no statement).

Senders end segments with LF or CR LF in place of CR (github.com/hitgeek/simple-hl7 issue 45, github.com/nextgenhealthcare/connect issues
53 and 57), but LF may also be text inside a field (github.com/deoxxa/hl7 pull 3). See :func:`_mixed`.

Undecodable bytes affect only their element: only :meth:`Message.unescape` of that element fails. Lines that are not segments are stored
separately (``adapters.hl7v2.torn``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import product
from operator import itemgetter
from string import ascii_uppercase, digits

from adapters.hl7v2 import charset as charsets
from adapters.hl7v2 import escapes
from adapters.hl7v2.delimiters import Delimiters, delimiters_of
from adapters.hl7v2.errors import UnusableMessage
from adapters.mapping.tables import table

DELETE = '""'
_HEADERS = ("MSH", "FHS", "BHS")
ENVELOPE = ("FHS", "BHS", "BTS", "FTS")
_BLANK = b"\x00\x09\x0a\x0b\x0c\x0d\x1c\x20"  # framing bytes, line ends and spaces that senders leave around a message
_BLANK_TEXT = _BLANK.decode()
_LOST = re.compile("[\x00\udc80-\udcff]")  # undecodable bytes (PEP 383), and NUL, which databases do not accept
SEGMENTS = frozenset(table("segments")["standard"].split())
_NAMES = SEGMENTS | {f"Z{second}{third}" for second, third in product(ascii_uppercase + digits, repeat=2)}
NO_TEXT = "bytes do not match any permitted character set: set 'charset' or 'charset_fallback' of the source"
TORN = "torn"  # a line that is not a segment: probably the rest of a field that contains a carriage return
DOUBTFUL = "doubtful"  # a segment with a non-standard name: local to the site, or the rest of a field
_NAME, _SEPARATOR = itemgetter(slice(3)), itemgetter(slice(3, 4))  # of a line; a loop would take twice as long
_LONGEST = 12  # characters of a name including invisible characters around it
_PADDING = [""] * 26  # MSH has as many fields, and one for its name
_HEADER = re.compile(rb"[\r\n\x0b]MSH[^A-Za-z0-9\s]")


class Message:
    """One message. ``lines`` are its segments as text, in order. Fields are counted from 1 as in the standard. ``header`` is MSH, padded.

    If some lines are not segments or have a non-standard name, ``oddity`` is :data:`TORN` or :data:`DOUBTFUL`, ``raw`` are all lines, and
    ``odd`` are the lines that are not segments. ``damaged``: the message contains undecodable bytes or NUL. ``plain``: it does not, and no
    element needs :meth:`unescape`.
    """

    __slots__ = ("_fields", "_names", "codec", "damaged", "delimiters", "header", "lines", "odd", "oddity", "plain", "raw")

    def __init__(self, lines: list[str], delimiters: Delimiters, codec: str, *, damaged: bool = False, plain: bool = False) -> None:
        self.lines, self.delimiters, self.codec, self.damaged, self.plain = lines, delimiters, codec, damaged, plain
        fields = self.fields(lines[0])
        self.header = fields + _PADDING[len(fields) :]
        self.oddity, self.raw = "", lines
        self.odd: tuple[str, ...] = ()
        self._fields: dict[str, list[list[str]]] = {}
        self._names = [*map(_NAME, lines)]
        if not _NAMES.issuperset(self._names) or {*map(_SEPARATOR, lines)} != {delimiters.field}:
            self._classify([line if line[0] > " " else line.lstrip() for line in lines if not line.isspace()])

    def _classify(self, lines: list[str]) -> None:
        """Separates segments from other lines, for a message in which some lines are not standard segments."""
        self.lines, self.raw, self._names = [], lines, []
        for line in lines:
            kind = line_kind(line, self.delimiters.field)
            if kind:
                self.oddity = TORN if TORN in (kind, self.oddity) else DOUBTFUL
            if kind == TORN:
                self.odd = (*self.odd, line)
            else:
                name, rest = _split_name(line, self.delimiters.field)
                segment = name.upper() + rest
                self.lines.append(segment)
                self._names.append(segment[:3])

    def part(self, lines: list[str]) -> Message:
        """A message that consists of some of the lines."""
        found = Message(lines, self.delimiters, self.codec, damaged=self.damaged, plain=self.plain)
        found.odd = self.odd
        return found

    @property
    def names(self) -> Sequence[str]:
        """The names of the segments in the message, each once, in order."""
        return tuple(dict.fromkeys(self._names))

    def names_besides(self, known: frozenset[str]) -> list[str]:
        """The names of the segments in the message that are not among the known ones."""
        return [] if known.issuperset(self._names) else [name for name in self.names if name not in known]

    def count(self, name: str) -> int:
        """The number of segments of that name."""
        return self._names.count(name)

    def segments(self, name: str) -> list[list[str]]:
        """The fields of every segment of that name; ``fields[13]`` is field 13, still escaped."""
        found = self._fields.get(name)
        if found is None:
            found = self._fields[name] = self._split(name)
        return found

    def _split(self, name: str) -> list[list[str]]:
        names, bar = self._names, self.delimiters.field
        if name not in names:
            return []
        if names.count(name) == 1 and name not in _HEADERS:  # the usual case
            return [self.lines[names.index(name)].split(bar)]
        return [self.fields(line) for one, line in zip(names, self.lines, strict=True) if one == name]

    def fields(self, line: str) -> list[str]:
        """The fields of one segment."""
        fields = line.split(self.delimiters.field)
        if line[:3] in _HEADERS:
            fields.insert(1, self.delimiters.field)  # the field separator is field 1
        return fields

    def field(self, name: str, number: int) -> str:
        """A field of the first segment of that name, still escaped; empty if there is none."""
        segments = self.segments(name)
        return segments[0][number] if segments and number < len(segments[0]) else ""

    def unescape(self, text: str) -> str:
        """The unescaped text of an element. Unknown escape sequences are left unchanged. Raises :class:`UnusableMessage`: undecodable."""
        if self.damaged and _LOST.search(text):
            raise UnusableMessage("undecodable", NO_TEXT)
        if self.delimiters.escape not in text:
            return text
        return escapes.unescape(text, self.delimiters, self.codec)

    def texts(self, parts: Iterable[str]) -> list[str]:
        """The texts of elements, unescaped and without blanks around them; a deleted one is empty. Raises as :meth:`unescape`."""
        if self.plain:
            return ["" if part == DELETE else part.strip() for part in parts]
        return ["" if part == DELETE else self.unescape(part).strip() for part in parts]


def read(body: bytes, charset: str | None = None, fallback: str | None = None) -> Message:
    """Reads a message. Raises :class:`UnusableMessage`: not_hl7, undecodable, delimiters_missing, delimiters_invalid."""
    raw = body if body.startswith(b"MSH") else _trimmed(body)
    damaged = False
    if raw.startswith(b"MSH") and raw.isascii() and b"\x1b" not in raw:  # ESC is a switch in ISO 2022; UTF-16 bytes may be ASCII too
        text, codec = raw.decode("ascii"), "ascii"
    else:
        text, codec, damaged = _decoded(raw, charset, fallback)
    if not text.startswith("MSH"):
        raise UnusableMessage("not_hl7", "this does not start with an MSH segment, so it is not an HL7 v2 message")
    text = text.rstrip(_BLANK_TEXT)
    damaged = damaged or "\x00" in text
    delimiters = delimiters_of(text)
    if codec == "ascii" and delimiters.escape + "X" in text:
        codec = _declared(raw, charset) or codec  # the text is ASCII, but hexadecimal escapes may be in the declared character set
    plain = not damaged and text.count(delimiters.escape) < 2  # it is in MSH-2
    return Message(_lines(text, delimiters.field), delimiters, codec, damaged=damaged, plain=plain)


def line_kind(line: str, field: str) -> str:
    """Empty if the line is a segment, in any spelling of its name; otherwise :data:`TORN` or :data:`DOUBTFUL`."""
    name, rest = _split_name(line, field)
    shaped = len(name) == 3 and name.isascii() and name.isalnum() and name[0].isalpha()
    if not shaped or (not rest and not name.isupper()):
        return TORN
    if name.upper() in SEGMENTS or name[0] in "Zz":
        return ""
    return DOUBTFUL if name.isupper() and line.startswith(name) and len(line) == len(name) + len(rest) else TORN


def _split_name(line: str, field: str) -> tuple[str, str]:
    """The segment name without invisible characters (spaces, byte order mark, NUL, undecodable bytes), and the rest of the line."""
    name = line.partition(field)[0]
    rest = line[len(name) :]
    if len(name) != 3 or not name.isascii() or not name.isalnum():
        name = "".join([letter for letter in name[:_LONGEST] if letter.isprintable() and not letter.isspace()]) + name[_LONGEST:]
    return name, rest


def header(body: bytes) -> tuple[Delimiters, list[str]] | None:
    """Delimiters and MSH fields, read without knowing the character set; ``None`` if there is no usable MSH."""
    try:
        raw, codec = (body, "latin-1") if body.startswith(b"MSH") else _of_any_width(body)
        line = raw[:65536].decode(codec, "ignore").lstrip("\ufeff").split("\r", 1)[0].split("\n", 1)[0]
        if not line.startswith("MSH"):
            return None
        delimiters = delimiters_of(line)
    except UnusableMessage:
        return None
    return delimiters, ["MSH", delimiters.field, *line.split(delimiters.field)[1:]]


def _of_any_width(body: bytes) -> tuple[bytes, str]:
    raw = _trimmed(body)
    return raw, charsets.wide(raw) or "latin-1"


def _trimmed(body: bytes) -> bytes:
    """The message without framing bytes, spaces, a UTF-8 byte order mark and batch headers before MSH."""
    if charsets.wide(body):
        return body
    raw = body.lstrip(_BLANK).removeprefix(b"\xef\xbb\xbf").lstrip(_BLANK)
    if raw[:3] in (b"FHS", b"BHS"):
        start = _HEADER.search(raw)
        raw = raw[start.start() + 1 :] if start else raw
    return raw


def _declared(raw: bytes, charset: str | None) -> str | None:
    found = header(raw)
    declared = found[1][18].split(found[0].repetition)[0] if found and len(found[1]) > 18 else ""
    return charsets.codec(charset or declared)


def _decoded(raw: bytes, charset: str | None, fallback: str | None) -> tuple[str, str, bool]:
    """The text, its codec, and whether it contains undecodable bytes."""
    wide = charsets.wide(raw)
    try:
        if wide:
            return charsets.from_wide(raw, wide).lstrip("\ufeff" + _BLANK_TEXT), wide, False
        found = header(raw)
        declared = found[1][18].split(found[0].repetition) if found and len(found[1]) > 18 else []
        try:
            return *charsets.decode(raw, declared, charset, fallback), False
        except charsets.Undecodable:
            return *charsets.damaged(raw, declared, charset), True
    except ValueError:
        detail = "the bytes match neither MSH-18 nor UTF-8: set 'charset' or 'charset_fallback' of the source"
        raise UnusableMessage("undecodable", detail, "MSH-18") from None


def _lines(text: str, field: str) -> list[str]:
    if "\n" not in text:
        lines = text.split("\r")
    elif "\r" not in text:
        lines = text.split("\n")
    else:
        lines = _mixed(field).split(text)
    return [line for line in lines if line] if "" in lines else lines


@cache
def _mixed(field: str) -> re.Pattern[str]:
    """The line separator of messages with both CR and LF. LF may be text inside a note, so it separates only before a segment name.

    ``MSH`` counts as a segment name only if its delimiters follow; otherwise it is part of the note.
    """
    bar = re.escape(field)
    unseen = rf"[^\w\r\n{bar}]{{0,4}}"
    known = rf"{unseen}(?i:Z[A-Z0-9]{{2}}|{'|'.join(sorted(SEGMENTS))}){unseen}"
    return re.compile(rf"\r\n?|\n(?!{unseen}MSH{bar}(?![^\w\s]))(?=(?:[A-Z][A-Z0-9]{{2}}|{known}){bar})")
