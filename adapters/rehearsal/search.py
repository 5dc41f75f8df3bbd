"""Patient searches: parameters, pages and opaque next links. Pure except for the chart that it reads."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice

from adapters.rehearsal.chart import Chart
from adapters.rehearsal.dialect import MRN_SYSTEM
from adapters.rehearsal.population import index_of as index_of_mrn
from adapters.rehearsal.resource import index_of

DEFAULT_PAGE, LARGEST_PAGE = 50, 1_000
COMPARES: dict[str, Callable[[datetime, datetime], bool]] = {
    "ge": lambda updated, bound: updated >= bound,
    "gt": lambda updated, bound: updated > bound,
    "le": lambda updated, bound: updated <= bound,
    "lt": lambda updated, bound: updated < bound,
    "eq": lambda updated, bound: updated == bound,
}


class BadSearch(ValueError):
    """An invalid search parameter. The message names the parameter, never its value."""


@dataclass(frozen=True, slots=True)
class Search:
    """One page of a search. ``bounds`` are (comparison, ISO time); ``start`` is the first index not yet returned."""

    count: int = DEFAULT_PAGE
    bounds: tuple[tuple[str, str], ...] = ()
    only: tuple[int, ...] | None = None
    start: int = 0

    def token(self) -> str:
        """The page as an opaque token for a link."""
        return base64.urlsafe_b64encode(json.dumps(asdict(self)).encode()).decode().rstrip("=")

    def matches(self, updated: datetime) -> bool:
        # Compared with millisecond precision, like meta.lastUpdated.
        shown = updated.replace(microsecond=updated.microsecond // 1000 * 1000)
        return all(COMPARES[name](shown, datetime.fromisoformat(bound)) for name, bound in self.bounds)

    def page(self, chart: Chart) -> tuple[list[int], int | None]:
        """The indexes on this page, and the start of the next page (``None`` for the last page)."""
        found = list(islice(self._indexes(chart), self.count + 1))
        return (found[:-1], found[-1]) if len(found) > self.count else (found, None)

    def total(self, chart: Chart) -> int:
        if self.only is None:
            return chart.count(self.matches)
        return len([index for index in self.only if self._known(chart, index)])

    def _indexes(self, chart: Chart) -> Iterator[int]:
        if self.only is None:
            return chart.indexes(self.matches, self.start)
        return (index for index in self.only if index >= self.start and self._known(chart, index))

    def _known(self, chart: Chart, index: int) -> bool:
        return 0 <= index < chart.population.size and not chart.is_removed(index) and self.matches(chart.entry(index).updated)


def resume(token: str) -> Search:
    """The page of a next link. Raises :class:`BadSearch` if the link is not from this server."""
    try:
        fields = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        only = None if fields["only"] is None else tuple(int(index) for index in fields["only"])
        return Search(int(fields["count"]), tuple((name, bound) for name, bound in fields["bounds"]), only, int(fields["start"]))
    except (ValueError, KeyError, TypeError) as error:
        raise BadSearch("the page link is not one of this server") from error


def parse(parameters: Sequence[tuple[str, str]], *, by_last_updated: bool) -> Search:
    """A search from query parameters. Unsupported parameters are ignored, as FHIR R4 allows (Search, "Handling Errors")."""
    count, bounds, only = DEFAULT_PAGE, [], None
    for name, value in parameters:
        if name == "_count":
            count = _count(value)
        elif name == "_lastUpdated" and by_last_updated:
            bounds.append(_bound(value))
        elif name == "_id":
            only = _indexes(index_of(one) for one in value.split(","))
        elif name == "identifier":
            only = _indexes(_by_identifier(one) for one in value.split(","))
    return Search(count, tuple(bounds), only)


def _count(value: str) -> int:
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise BadSearch("_count must be a positive number")
    return min(int(value), LARGEST_PAGE)


def _bound(value: str) -> tuple[str, str]:
    name, text = (value[:2], value[2:]) if value[:2] in COMPARES else ("eq", value)
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadSearch("_lastUpdated must be a date or an instant") from error
    return name, (time if time.tzinfo else time.replace(tzinfo=UTC)).isoformat()


def _by_identifier(value: str) -> int | None:
    system, bar, code = value.rpartition("|")
    return index_of_mrn(code) if not bar or system == MRN_SYSTEM else None


def _indexes(found: Iterator[int | None]) -> tuple[int, ...]:
    return tuple(sorted({index for index in found if index is not None}))
