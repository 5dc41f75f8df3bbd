"""What is wrong in a configuration, where, and how to fix it.

Also the one error of the program's own set-up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import NamedTuple


class UsageError(Exception):
    """The request cannot be served with this configuration or database. The message says what to do."""


Path = tuple[str | int, ...]
"""Where in the document: the keys and list positions from the top."""


class ConfigProblem(NamedTuple):
    """One error. ``line`` counts from 1; 0 when there is none. A ``warning`` stops nothing. Quotes no secret."""

    line: int
    where: str
    message: str
    warning: bool = False

    def __str__(self) -> str:
        place = f"line {self.line}: " if self.line else ""
        return f"{place}{self.where + ': ' if self.where else ''}{self.message}"


class ConfigError(Exception):
    """The configuration cannot be used. ``mistakes`` holds all of them, in the order of their lines."""

    def __init__(self, file: str, mistakes: Sequence[ConfigProblem]) -> None:
        self.file, self.mistakes = file, tuple(sorted(mistakes, key=lambda one: one.line))
        more = f" (and {len(self.mistakes) - 1} more; run emr-sync check-config)" if len(self.mistakes) > 1 else ""
        super().__init__(f"{file}: {self.mistakes[0]}{more}")


def one_of(word: str, allowed: Iterable[str]) -> str:
    """How to fix a word that is not allowed: the nearest allowed one, and all of them."""
    names = sorted(allowed)
    near = get_close_matches(word, names, 1)
    return f"{f'Did you mean {near[0]!r}? ' if near else ''}Use one of: {', '.join(names) or '(none configured)'}"


def dotted(path: Path) -> str:
    """A path as people write it: ``sources.genhosp-adt.listen``."""
    return ".".join(str(part) for part in path)
