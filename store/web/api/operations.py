"""Sources over HTTP, for operators. ``sync``, passed in as ``work``, does what they start."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from store.domain.enterprise import Source
from store.patients.freshness import Freshness
from store.patients.preferences import Preferences
from store.runs.runs import Journal
from store.web.api.endpoint import ApiResponse, Call, Endpoint
from store.web.api.runs import OPERATORS, RunOut, run_out
from store.web.http.problem import ProblemDetails
from store.web.http.work import SyncWork


class SourceOut(Struct, frozen=True):
    """A configured source. ``last_heard`` is ``null`` if no data was ever received from it."""

    name: str
    display_name: str
    last_heard: datetime | None
    stale: bool
    last_run: RunOut | None


class Operations:
    """The endpoints for sources. A caller sees only their own enterprise."""

    def __init__(self, store: Preferences, journal: Journal, work: SyncWork | None) -> None:
        self.store, self.journal, self.work = store, journal, work
        self.freshness: Freshness = store.freshness

    def endpoints(self) -> Iterable[Endpoint]:
        """The endpoints; those that need ``work`` only if it is available."""
        yield Endpoint("GET", "/v1/sources", OPERATORS, "Sources", self.sources, None, list[SourceOut])
        if self.work is not None:
            yield Endpoint("POST", "/v1/sources/{source:str}/resync", OPERATORS, "Start a resync", self.resync, None, RunOut, status=202)

    def sources(self, call: Call) -> ApiResponse:
        """The enterprise's sources, in the order of the configuration."""
        received = self.freshness.last_heard(call.now)
        return ApiResponse([self._source(call, one, received.get(one.name)) for one in self.store.enterprises[call.enterprise].sources])

    def resync(self, call: Call) -> ApiResponse:
        """Starts a run of the source. Answers 202, since the run continues after the response."""
        source = call.path["source"]
        if self.work is None or self.store.enterprises[call.enterprise].source(source) is None:
            raise ProblemDetails(404, "source_unknown", "this enterprise has no such source")
        return ApiResponse(run_out(self.work.resync(source, call.key.name)), {}, 202)

    def _source(self, call: Call, source: Source, last_heard: datetime | None) -> SourceOut:
        stale = self.freshness.ages(self.store.enterprises[call.enterprise], call.now)(source.name).stale
        last = self.journal.runs(call.enterprise, source.name, 1)
        return SourceOut(source.name, source.display_name or source.name, last_heard, stale, run_out(last[0]) if last else None)
