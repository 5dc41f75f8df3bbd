"""Whether a list was delivered with all the records it announced. Pure; for every protocol that lists patients page by page.

If a row disappears between two pages read by offset, the next row moves to the page already read. A record is then missing, and only the
announced total shows it. So records are counted by identity and compared with the highest total that any page announced.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

IDLE_PAGES = 50  # consecutive pages without a new record; servers that filter sometimes return empty pages, but not endlessly


@dataclass(slots=True)
class CompletenessCheck:
    """Counts the records of one list. ``what``: their name for people (``Patient``). Without ``trust_total`` the total is ignored."""

    what: str
    trust_total: bool = True
    announced: int = 0
    included: int = 0
    errors: list[str] = field(default_factory=list)
    idle: int = 0
    _seen: set[int] = field(default_factory=set)

    def page(self, keys: Iterable[int], *, announced: int | None = None, included: int = 0, error: str = "") -> None:
        """Adds a page: the identities of its records, the total it announces, how many came beside the matches, and an error in it."""
        before = len(self._seen)
        self._seen.update(keys)
        self.announced = max(self.announced, announced or 0)
        self.included += included
        self.idle = 0 if len(self._seen) > before else self.idle + 1
        if error and error not in self.errors:
            self.errors.append(error)

    @property
    def endless(self) -> bool:
        """Whether too many consecutive pages had nothing new."""
        return self.idle >= IDLE_PAGES

    def incomplete_reason(self) -> str:
        """Why the list is incomplete; empty if it is complete."""
        reasons = [*self._idle_pages(), *(f"the server reported an error in its {self.what} records ({one})" for one in self.errors)]
        return "; ".join([*reasons, *self._missing_records()])

    def _idle_pages(self) -> Iterable[str]:
        return [f"{self.idle} consecutive pages had no new {self.what} record but linked to another page"] if self.endless else []

    def _missing_records(self) -> Iterable[str]:
        received = len(self._seen)
        # Some servers also count what they include beside the matches, against the standard.
        complete = received >= self.announced or (self.included and received + self.included == self.announced)
        if self.endless or complete or not self.trust_total:
            return []
        return [f"the server announced {self.announced} {self.what} records but sent {received}"]
