"""Character sets of HL7 v2 messages: table 0211 and the names that senders use instead. Pure.

Source: HL7 v2.9 chapter 2A, table 0211 "Alternate character sets". An empty MSH-18 means ASCII. In practice MSH-18 is often missing or
wrong: Latin-1 without MSH-18 (github.com/panates/hl7v2 pull 28), or garbled text because a receiver does not know ``UNICODE UTF-8``
(github.com/apache/camel pull 10880). So a source may configure ``charset`` (overrides MSH-18) and ``charset_fallback`` (tried last). Bytes
that do not decode are refused, because replacing them would silently change a patient's record.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

JAPANESE = "iso2022_jp_ext"  # ISO 2022 with all Japanese character sets in the table
TABLE_0211 = {
    "ASCII": "ascii",
    "ISO IR6": "ascii",
    "ISO IR14": JAPANESE,
    "ISO IR87": JAPANESE,
    "ISO IR159": JAPANESE,
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc_kr",
    "BIG-5": "big5",
    "UNICODE": "utf-8",  # as in HAPI (HL7Charsets.java); UTF-16 is detected by its bytes
    "UNICODE UTF-8": "utf-8",
    "UNICODE UTF-16": "utf-16",
    "UNICODE UTF-32": "utf-32",
} | {f"8859/{part}": f"iso8859-{part}" for part in (*range(1, 12), *range(13, 17))}
# Python has no codec for CNS 11643-1992. Such messages are read if they are UTF-8 or match the source's fallback, otherwise refused.

# The first bytes of UTF-16 and UTF-32 text: a byte order mark, or the first letters of MSH.
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
    """The bytes do not decode in any permitted character set."""


@cache
def codec(name: str) -> str | None:
    """The codec of a table 0211 code or of a common name (``UTF-8``, ``windows-1252``), or ``None``."""
    found = TABLE_0211.get(name.strip().upper())
    if found or not name.strip():
        return found
    try:
        return codecs.lookup(name.strip().replace("/", "-").replace(" ", "-")).name
    except (LookupError, ValueError):  # ValueError: the name contains NUL
        return None


def option(options: Mapping[str, Any], name: str) -> str | None:
    """The configured character set of a source. ``ValueError`` for an unknown one."""
    value = str(options.get(name) or "")
    if value and codec(value) is None:
        raise ValueError(f"{name} {value!r} is not a character set: use a code of HL7 table 0211, for example '8859/1' or 'UNICODE UTF-8'")
    return value or None


def wide(raw: bytes) -> str | None:
    """The codec of UTF-16 or UTF-32 text, detected by its first bytes; otherwise ``None``."""
    return next((name for start, name in WIDE if raw.startswith(start)), None)


def from_wide(raw: bytes, codec: str) -> str:
    """Decodes UTF-16 or UTF-32 text. If the frame is also UTF-16, half of a framing character is left before or after the text.

    For Latin letters it does not matter which half it is. ``ValueError`` if it does matter.
    """
    if codec != "utf-16-be" or len(raw) % 2 == 0:
        return raw.decode(codec)
    text = raw[:-1].decode(codec)
    if text != raw[1:].decode("utf-16-le"):
        raise Undecodable
    return text


def damaged(raw: bytes, declared: Sequence[str], charset: str | None) -> tuple[str, str]:
    """The text with a lone surrogate (PEP 383) for each byte that does not decode, and the codec. ``ValueError`` if this fails too."""
    name = codec(charset or "") or _named(raw, declared)
    return raw.decode(name, "surrogateescape"), name


def decode(raw: bytes, declared: Sequence[str], charset: str | None, fallback: str | None) -> tuple[str, str]:
    """The text and its codec. ``declared`` are the repetitions of MSH-18. Raises :class:`Undecodable`.

    Tried in this order, strictly: ``charset``; the character set in MSH-18; UTF-8 if MSH-18 is empty, unknown or ASCII (text in another
    character set is almost never valid UTF-8); ``fallback``. Later repetitions of MSH-18 are character sets that the text switches to. For
    the Japanese ones the switch is an ISO 2022 escape sequence, so their codec decodes the whole text.
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
        return "utf-8"  # MSH was readable byte by byte, so the text is not UTF-16 or UTF-32 whatever MSH-18 states
    return named
