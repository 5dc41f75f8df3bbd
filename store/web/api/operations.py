"""Sources over HTTP, for those who operate the sync. What they start is done by ``sync``, passed in."""

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
    """A configured source. ``last_heard`` is ``null`` for one that was never heard."""

    name: str
    display_name: str
    last_heard: datetime | None
    stale: bool
    last_run: RunOut | None


class Operations:
    """The answers about sources; nothing of another enterprise is ever found."""

    def __init__(self, store: Preferences, journal: Journal, work: SyncWork | None) -> None:
        self.store, self.journal, self.work = store, journal, work
        self.freshness: Freshness = store.freshness

    def endpoints(self) -> Iterable[Endpoint]:
        """Rows of the contract; those that need ``sync`` only where it is there."""
        yield Endpoint("GET", "/v1/sources", OPERATORS, "Sources", self.sources, None, list[SourceOut])
        if self.work is not None:
            yield Endpoint("POST", "/v1/sources/{source:str}/resync", OPERATORS, "Start a resync", self.resync, None, RunOut, status=202)

    def sources(self, call: Call) -> ApiResponse:
        """The enterprise's sources, in the order of the configuration."""
        heard = self.freshness.last_heard(call.now)
        return ApiResponse([self._source(call, one, heard.get(one.name)) for one in self.store.enterprises[call.enterprise].sources])

    def resync(self, call: Call) -> ApiResponse:
        """Begins a run of the source; 202, for it goes on after the answer."""
        source = call.path["source"]
        if self.work is None or self.store.enterprises[call.enterprise].source(source) is None:
            raise ProblemDetails(404, "source_unknown", "this enterprise has no such source")
        return ApiResponse(run_out(self.work.resync(source, call.key.name)), {}, 202)

    def _source(self, call: Call, source: Source, heard: datetime | None) -> SourceOut:
        stale = self.freshness.ages(self.store.enterprises[call.enterprise], call.now)(source.name).stale
        last = self.journal.runs(call.enterprise, source.name, 1)
        return SourceOut(source.name, source.display_name or source.name, heard, stale, run_out(last[0]) if last else None)
