"""Whether a list came to its end with all that it announced. Pure; for every protocol that lists patients page by page.

A row that goes away between two pages counted by offset moves the next one onto the page that was read already: a record is then
missing, and only the announced total tells. So records are counted by their identity, against the most that any page announced.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

IDLE_PAGES = 50  # in a row without a new record: servers that filter answer empty pages now and then, not for ever


@dataclass(slots=True)
class Whole:
    """Counts one list. ``what`` names its records for people (``Patient``); without ``trust_total`` what it announces is not asked."""

    what: str
    trust_total: bool = True
    announced: int = 0
    beside: int = 0
    errors: list[str] = field(default_factory=list)
    idle: int = 0
    _seen: set[int] = field(default_factory=set)

    def page(self, keys: Iterable[int], *, announced: int | None = None, beside: int = 0, error: str = "") -> None:
        """One page: the identity of each record, what the page announces, how many came beside the matches, and an error in it."""
        before = len(self._seen)
        self._seen.update(keys)
        self.announced = max(self.announced, announced or 0)
        self.beside += beside
        self.idle = 0 if len(self._seen) > before else self.idle + 1
        if error and error not in self.errors:
            self.errors.append(error)

    @property
    def endless(self) -> bool:
        """Whether page after page brought nothing new."""
        return self.idle >= IDLE_PAGES

    def missing(self) -> str:
        """Why this is not all; empty when it is."""
        told = [*self._pages(), *(f"the server reported an error in its {self.what} records ({one})" for one in self.errors)]
        return "; ".join([*told, *self._short()])

    def _pages(self) -> Iterable[str]:
        return [f"{self.idle} consecutive pages had no new {self.what} record but linked to another page"] if self.endless else []

    def _short(self) -> Iterable[str]:
        came = len(self._seen)
        # Some servers count what they include beside the matches, against the standard.
        counted = came >= self.announced or (self.beside and came + self.beside == self.announced)
        if self.endless or counted or not self.trust_total:
            return []
        return [f"the server announced {self.announced} {self.what} records but sent {came}"]
