"""Names of segments that are spoiled in their own letters: ``P1D`` for PID, ``ZC0`` for ZCO, a letter of another alphabet. Pure."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

LONGEST = 6  # letters: nothing longer is a name of three with something wrong
LOST = "?"  # a letter that could not be decoded
_LIKE = str.maketrans(
    "0125678L!$" + "АВЕКМНОРСТУХІЈЅ" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ\ufffd",  # noqa: RUF001 letters of other alphabets, on purpose
    "OIZSGTBIIS" + "ABEKMHOPCTYXIJS" + "ABEZHIKMNOPTYX" + LOST,
)


def looks_like(name: str, segment: str) -> bool:
    """Whether two names are one to the eye: figures for letters, other alphabets, letters that were lost."""
    mine, other = _folded(name), _folded(segment)
    return len(mine) == len(other) and not _differences(mine, other)


@lru_cache(maxsize=1024)
def is_near(name: str, segment: str) -> bool:
    """Whether a name is another one with a letter wrong, missing or too many, or with two that changed places."""
    mine, other = _folded(name), _folded(segment)
    if len(mine) != len(other):
        longer, shorter = sorted((mine, other), key=len, reverse=True)
        return len(shorter) > 1 and any(longer[:at] + longer[at + 1 :] == shorter for at in range(len(longer)))
    apart = _differences(mine, other)
    swapped = len(apart) == 2 and [mine[at] for at in apart] == [other[at] for at in reversed(apart)]
    return len(apart) < 2 or (swapped and apart[1] - apart[0] == 1)


def _differences(mine: str, other: str) -> list[int]:
    return [at for at, (one, two) in enumerate(zip(mine, other, strict=True)) if one != two and one != LOST]


@lru_cache(maxsize=1024)
def _folded(name: str) -> str:
    shown = "".join([LOST if "\ud800" <= letter <= "\udfff" else letter for letter in name.strip()])
    plain = [letter for letter in unicodedata.normalize("NFKD", shown) if letter.isprintable() and not unicodedata.combining(letter)]
    return "".join(plain).upper().translate(_LIKE)
