"""Escape sequences in the text of an element. Pure.

Source: HL7 v2.9 chapter 2, "Use of escape sequences in text fields". Other than python-hl7 (hl7/containers.py), ``\\X..\\`` is decoded in
the character set of the message, and ``\\C..\\`` and ``\\M..\\`` are supported.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

from adapters.hl7v2 import charset as charsets
from adapters.hl7v2.delimiters import NOWHERE, Delimiters
from adapters.hl7v2.errors import UnusableMessage

NO_TEXT = "a hexadecimal escape sequence is not valid in the character set of the message: correct it at the sender"


def unescape(text: str, delimiters: Delimiters, codec: str) -> str:
    """The unescaped text. Unknown sequences are left unchanged. Raises :class:`UnusableMessage`: undecodable."""
    escape = delimiters.escape
    pieces = _shifted(text, escape).split(escape)
    out, at = [pieces[0]], 1
    while at < len(pieces):
        meaning = _meaning(pieces[at], delimiters, codec) if at + 1 < len(pieces) else None
        if meaning is None:
            out += (escape, pieces[at])
            at += 1
        else:
            out += (meaning, pieces[at + 1])
            at += 2
    return "".join(out)


def _shifted(text: str, escape: str) -> str:
    """``\\Cxxyy\\`` and ``\\Mxxyyzz\\`` are ISO 2022 escape sequences in hexadecimal: they switch to another character set and back."""
    found = _shift(escape).sub(lambda match: "\x1b" + bytes.fromhex(match[1]).decode("latin-1"), text)
    if found == text:
        return text
    try:
        return found.encode("ascii").decode(charsets.JAPANESE)
    except UnicodeError:
        raise UnusableMessage("undecodable", "an escape sequence switches to an unsupported character set") from None


@cache
def _shift(escape: str) -> re.Pattern[str]:
    return re.compile(rf"{re.escape(escape)}[CM]((?:[0-9A-Fa-f]{{2}}){{2,3}}){re.escape(escape)}")


@lru_cache(maxsize=1024)
def _meaning(sequence: str, delimiters: Delimiters, codec: str) -> str | None:
    """The text of one escape sequence; ``None`` if it is not a known one."""
    plain = {
        "F": delimiters.field,
        "S": delimiters.component,
        "R": delimiters.repetition,
        "T": delimiters.subcomponent,
        "E": delimiters.escape,
        "P": "#" if delimiters.truncation == NOWHERE else delimiters.truncation,
        "H": "",
        "N": "",
        ".br": "\n",
        ".ce": "\n",
        ".fi": "",
        ".nf": "",
    }
    if sequence in plain:
        return plain[sequence]
    if sequence.startswith((".sp", ".in", ".ti")):  # skipped lines and indents
        return _laid_out(sequence[:3], sequence[3:].lstrip("+-"))
    if sequence[:1] != "X" or len(sequence) % 2 == 0:  # Z sequences are local to the sender
        return None
    try:
        text = bytes.fromhex(sequence[1:]).decode("utf-8" if codec == "ascii" else codec)
    except UnicodeDecodeError:
        raise UnusableMessage("undecodable", NO_TEXT) from None
    except ValueError:
        return None
    if "\x00" in text:  # databases do not accept NUL
        raise UnusableMessage("undecodable", NO_TEXT)
    return text


def _laid_out(command: str, count: str) -> str | None:
    """Formatting commands as plain text: only line breaks are kept, indents are dropped."""
    if count and not count.isdecimal():
        return None
    return "\n" * (99 if len(count) > 2 else int(count or 1)) if command == ".sp" else ""
