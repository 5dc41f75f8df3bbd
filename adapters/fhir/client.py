"""The client for a FHIR server: reads one resource, or searches page by page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple
from urllib.parse import quote

from adapters.base import AdapterError
from adapters.fhir import bundle, outcome
from adapters.fhir.bundle import BundlePage
from adapters.fhir.dates import instant
from adapters.http.client import HttpClient, RequestRejected, Response
from adapters.http.completeness import CompletenessCheck


class SearchPage(NamedTuple):
    """A page with the server's time: when it answered, and no later than when it searched (it may answer late, or from a cache).

    ``incomplete``: on the last page, why the search result is incomplete; empty if it is complete.
    """

    page: BundlePage
    at: datetime
    searched_at: datetime
    last: bool
    incomplete: str = ""


class FhirClient(HttpClient):
    """An :class:`HttpClient` for FHIR. Without ``trust_total``, a search may return fewer records than its Bundle announces."""

    accept, trust_total = "application/fhir+json, application/json;q=0.9", True

    def described(self, body: bytes) -> str:
        return outcome.error_detail(body)

    def get(self, path: str, parameters: Mapping[str, str] | None = None) -> Response | None:
        """The response for a path below the base URL; ``None`` if nothing is there (404, 410)."""
        return self._get(self.address(path, parameters))

    def read(self, kind: str, name: str) -> Response | None:
        """One resource by its id; ``None`` if the server does not have it."""
        return self.get(f"{kind}/{quote(name, safe='')}")

    def search(self, kind: str, parameters: Mapping[str, str]) -> Iterator[SearchPage]:
        """The pages of a search, one in memory at a time. A link that cannot be followed fails the search; it never ends it.

        Endless pages without new records are stopped, and the last page says so (``incomplete``).
        """
        response = self.get(kind, parameters)
        seen, completeness = set[int](), CompletenessCheck(kind, self.trust_total)
        while True:
            if response is None:
                where = "the next page of a search was not found" if seen else f"the server does not support searching {kind}"
                raise AdapterError(where, permanent=not seen)
            found = bundle.read(response.body, response.url)
            completeness.page(found.keys, announced=found.total, included=found.included, error=found.error)
            searched_at = min(instant(found.searched_at) or response.began, response.began)
            last = found.next_url is None or completeness.endless
            yield SearchPage(found, response.at, searched_at, last, completeness.incomplete_reason() if last else "")
            if found.next_url is None or last:
                return
            if hash(found.next_url) in seen:
                raise AdapterError("the server's links to the next page form a loop")
            seen.add(hash(found.next_url))
            response = self._next(self.own_url(found.next_url))

    def _get(self, url: str) -> Response | None:
        return self.retrying(lambda: self.once(url))

    def _next(self, url: str) -> Response | None:
        """The next page. Servers drop long searches: that is not a wrong setting, and the run can start again."""
        try:
            return self._get(url)
        except RequestRejected as error:
            raise AdapterError(f"the next page of a search cannot be read: {error}") from None
