"""Recognises misspelled segment names: ``P1D`` for PID, ``ZC0`` for ZCO, letters of another alphabet. Pure."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

LONGEST = 6  # letters: a longer text is not a misspelled name of three
LOST = "?"  # a letter that could not be decoded
_LIKE = str.maketrans(
    "0125678L!$" + "АВЕКМНОРСТУХІЈЅ" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ\ufffd",  # noqa: RUF001 letters of other alphabets are intended
    "OIZSGTBIIS" + "ABEKMHOPCTYXIJS" + "ABEZHIKMNOPTYX" + LOST,
)


def looks_like(name: str, segment: str) -> bool:
    """Whether two names look the same: digits in place of letters, letters of other alphabets, undecodable letters."""
    found, wanted = _folded(name), _folded(segment)
    return len(found) == len(wanted) and not _differences(found, wanted)


@lru_cache(maxsize=1024)
def is_near(name: str, segment: str) -> bool:
    """Whether two names differ by one wrong, missing or extra letter, or by two swapped neighbours."""
    found, wanted = _folded(name), _folded(segment)
    if len(found) != len(wanted):
        longer, shorter = sorted((found, wanted), key=len, reverse=True)
        return len(shorter) > 1 and any(longer[:at] + longer[at + 1 :] == shorter for at in range(len(longer)))
    apart = _differences(found, wanted)
    swapped = len(apart) == 2 and [found[at] for at in apart] == [wanted[at] for at in reversed(apart)]
    return len(apart) < 2 or (swapped and apart[1] - apart[0] == 1)


def _differences(found: str, wanted: str) -> list[int]:
    return [at for at, (one, two) in enumerate(zip(found, wanted, strict=True)) if one != two and one != LOST]


@lru_cache(maxsize=1024)
def _folded(name: str) -> str:
    shown = "".join([LOST if "\ud800" <= letter <= "\udfff" else letter for letter in name.strip()])
    plain = [letter for letter in unicodedata.normalize("NFKD", shown) if letter.isprintable() and not unicodedata.combining(letter)]
    return "".join(plain).upper().translate(_LIKE)
