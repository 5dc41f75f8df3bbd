"""By which words a patient is found: those of the name, folded, and the birth date. Pure.

Folding removes what people spell differently: case, accents, apostrophes (``O'Brien`` is ``obrien``). Everything that is no letter or
digit separates words (``García-López`` is ``garcia`` and ``lopez``).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

from store.preference import BIRTH_DATE, DISPLAY_NAME, Preference

MOST_WORDS, LONGEST_WORD, LONGEST_ENTRY = 10, 40, 200
"""Longer names are cut: PostgreSQL limits the size of a row in an index."""
_WORDS = re.compile(r"[^\W_]+")
_INSIDE_A_WORD = re.compile("['`´‘’ʻʼʹ′]")  # noqa: RUF001
_LETTERS = str.maketrans({"ø": "o", "đ": "d", "ð": "d", "ł": "l", "ħ": "h", "\u0131": "i", "ŧ": "t", "þ": "th", "æ": "ae", "œ": "oe"})


@lru_cache(maxsize=4096)
def folded(text: str) -> tuple[str, ...]:
    """The words of a name, folded, in their order."""
    plain = _INSIDE_A_WORD.sub("", text).casefold()
    if not plain.isascii():
        spread = unicodedata.normalize("NFKD", plain)
        plain = "".join(one for one in spread if not unicodedata.combining(one)).translate(_LETTERS).casefold()
    return tuple(word[:LONGEST_WORD] for word in _WORDS.findall(plain)[:MOST_WORDS])


def entry(name: str | None, birth_date: str | None) -> str:
    """A patient's entry in the index: each word after a space, the birth date last. Empty if neither is known.

    ``Ana García``, ``1980-02-03`` -> `` ana garcia 1980-02-03``.
    """
    words = "".join([f" {word}" for word in folded(name)])[:LONGEST_ENTRY].rstrip() if name else ""
    return f"{words} {birth_date}" if birth_date else words


def entry_of(in_force: Mapping[str, Preference]) -> str:
    """The entry of a patient with these values in force."""
    name, born = in_force.get(DISPLAY_NAME), in_force.get(BIRTH_DATE)
    return entry(name.value if name else None, born.value if born else None)


def tokens(entry: str) -> frozenset[str]:
    """The words by which an entry is found."""
    return frozenset(entry.split())


def fits(entry: str, beginnings: tuple[str, ...]) -> bool:
    """Whether each beginning begins a word of its own. The longest go first: a word that a longer one begins, a shorter one begins too."""
    words = entry.split()
    for beginning in sorted(beginnings, key=len, reverse=True):
        found = next((word for word in words if word.startswith(beginning)), None)
        if found is None:
            return False
        words.remove(found)
    return True
