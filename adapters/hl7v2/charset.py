"""Character sets of HL7 v2 messages: table 0211 and what senders write instead. Pure.

Source: HL7 v2.9 chapter 2A, table 0211 "Alternate character sets"; MSH-18 empty means ASCII. In the field MSH-18 is often
missing or wrong, so a source may configure ``charset`` (trusted before MSH-18) and ``charset_fallback`` (tried last).
Bytes that fit nowhere are refused: replacing them would quietly change what a patient's record says.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

JAPANESE = "iso2022_jp_ext"  # ISO 2022 with every Japanese set that the table names
TABLE_0211 = {
    "ASCII": "ascii",
    "ISO IR6": "ascii",
    "ISO IR14": JAPANESE,
    "ISO IR87": JAPANESE,
    "ISO IR159": JAPANESE,
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc_kr",
    "BIG-5": "big5",
    "UNICODE": "utf-8",  # HAPI reads it so today; a message in UTF-16 is recognised by its bytes
    "UNICODE UTF-8": "utf-8",
    "UNICODE UTF-16": "utf-16",
    "UNICODE UTF-32": "utf-32",
} | {f"8859/{part}": f"iso8859-{part}" for part in (*range(1, 12), *range(13, 17))}
# CNS 11643-1992 has no codec in Python: such messages are read where they are UTF-8 or the source's fallback, else refused.

# Beginnings of UTF-16 and UTF-32 text, with a byte order mark or as the first letter of MSH, FHS, BHS.
WIDE = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"M\x00S\x00", "utf-16-le"),
    (b"\x00M\x00S", "utf-16-be"),
)
_WIDE_NAMES = ("utf-16", "utf-32")


class Undecodable(ValueError):
    """No permitted character set fits the bytes."""


@cache
def codec(name: str) -> str | None:
    """The codec of a table 0211 code or of a common name (``UTF-8``, ``windows-1252``), or ``None``."""
    found = TABLE_0211.get(name.strip().upper())
    if found or not name.strip():
        return found
    try:
        return codecs.lookup(name.strip().replace("/", "-").replace(" ", "-")).name
    except (LookupError, ValueError):  # ValueError: NUL in it
        return None


def option(options: Mapping[str, Any], name: str) -> str | None:
    """The character set that a source configures. ``ValueError`` for one that is none."""
    value = str(options.get(name) or "")
    if value and codec(value) is None:
        raise ValueError(f"{name} {value!r} is not a character set: use a code of HL7 table 0211, for example '8859/1' or 'UNICODE UTF-8'")
    return value or None


def wide(raw: bytes) -> str | None:
    """The codec of text in two or four bytes a letter, recognised by how it begins."""
    return next((name for start, name in WIDE if raw.startswith(start)), None)


def from_wide(raw: bytes, codec: str) -> str:
    """Text in two or four bytes a letter. Where the frame was written so, too, half of a framing character is left in front of it or
    behind it; which one it is does not matter for Latin letters. ``ValueError`` where it does.
    """
    if codec != "utf-16-be" or len(raw) % 2 == 0:
        return raw.decode(codec)
    text = raw[:-1].decode(codec)
    if text != raw[1:].decode("utf-16-le"):
        raise Undecodable
    return text


def damaged(raw: bytes, declared: Sequence[str], charset: str | None) -> tuple[str, str]:
    """The text with a lone surrogate (PEP 383) for each byte that cannot be decoded, and the codec. ``ValueError`` when even that fails."""
    name = codec(charset or "") or _named(raw, declared)
    return raw.decode(name, "surrogateescape"), name


def decode(raw: bytes, declared: Sequence[str], charset: str | None, fallback: str | None) -> tuple[str, str]:
    """The text and the codec that fitted. ``declared`` are the repetitions of MSH-18; raises :class:`Undecodable`.

    Tried in this order, strictly: ``charset``; what MSH-18 names; UTF-8, where MSH-18 is empty, unknown or says ASCII
    (its rules make a false match next to impossible); ``fallback``. Sets that MSH-18 names second are shifted to inside of the
    text; the Japanese ones, by ISO 2022 escapes, so that their codec reads the whole.
    """
    named = _named(raw, declared)
    for name in (codec(charset), None) if charset else (named, codec(fallback or "")):
        if name is not None:
            try:
                return raw.decode(name), name
            except UnicodeDecodeError:
                continue
    raise Undecodable


def _named(raw: bytes, declared: Sequence[str]) -> str:
    shifted_to = JAPANESE if b"\x1b" in raw and any(codec(name) == JAPANESE for name in declared) else None
    named = shifted_to or codec(declared[0] if declared else "")
    if named is None or named == "ascii" or named.startswith(_WIDE_NAMES):
        return "utf-8"  # MSH could be read byte by byte, so it is not a wide character set whatever it says
    return named
