"""Names of files: a pattern with a date and a sequence number, and what a name has in their places. Pure.

``prefs_%Y%m%d_{sequence}.csv``: ``%Y %m %d %H %M %S %y`` as in ``strftime``, ``{sequence}`` a number, ``*`` any text. Case counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

DIRECTIVES = {"Y": r"\d{4}", "y": r"\d{2}", "m": r"\d{2}", "d": r"\d{2}", "H": r"\d{2}", "M": r"\d{2}", "S": r"\d{2}"}
PRECISIONS = (("S", "seconds"), ("M", "minutes"), ("H", "hours"))
_PART = re.compile(r"%(.)|\{(\w*)\}|(\*)|([^%{*]+)", re.DOTALL)


class NamedPlace(NamedTuple):
    """The set that a file belongs to, by its name. ``date`` is as precise as it was written; both are empty if the pattern has none.

    ``sequence`` is ``None`` if the pattern has none.
    """

    date: str = ""
    sequence: int | None = None


@dataclass(frozen=True, slots=True)
class NamePattern:
    """A compiled pattern (:func:`compile_pattern`)."""

    expression: re.Pattern[str]
    directives: tuple[str, ...]
    has_sequence: bool

    @property
    def has_date(self) -> bool:
        """Whether names have a date: at least year, month and day."""
        return {"m", "d"} <= set(self.directives) and bool({"Y", "y"} & set(self.directives))

    def match(self, name: str) -> NamedPlace | None:
        """The place of a file with this name; ``None`` for another name, or one whose date is no date."""
        found = self.expression.fullmatch(name)
        if found is None:
            return None
        sequence = int(found["sequence"]) if self.has_sequence else None
        if not self.has_date:
            return NamedPlace("", sequence)
        try:
            moment = datetime.strptime(" ".join(found[one] for one in self.directives), " ".join(f"%{one}" for one in self.directives))
        except ValueError:
            return None
        precision = next((width for one, width in PRECISIONS if one in self.directives), "")
        return NamedPlace(moment.isoformat(timespec=precision) if precision else f"{moment:%Y-%m-%d}", sequence)


def compile_pattern(pattern: str) -> NamePattern:
    """The pattern of a file's name. Raises ``ValueError`` that says what is wrong."""
    expression, directives, has_sequence = "", [], False
    position = 0
    while position < len(pattern):
        part = _PART.match(pattern, position)
        directive, named, anything, text = part.groups() if part else (None, None, None, None)
        if directive in DIRECTIVES and directive not in directives:
            directives.append(directive)
            expression += f"(?P<{directive}>{DIRECTIVES[directive]})"
        elif named == "sequence" and not has_sequence:
            expression, has_sequence = expression + r"(?P<sequence>\d{1,12})", True
        elif anything:
            expression += ".*?"
        elif text:
            expression += re.escape(text)
        else:
            where = pattern[position : position + 6]
            raise ValueError(f"the name {pattern!r} cannot be read at {where!r}: use {{sequence}}, * and %Y %m %d %H %M %S once each")
        assert part is not None
        position = part.end()
    found = NamePattern(re.compile(expression, re.ASCII | re.DOTALL), tuple(directives), has_sequence)
    if directives and not found.has_date:
        raise ValueError(f"the name {pattern!r} has a part of a date: write year, month and day, like %Y%m%d")
    return found
