"""The client for a JSON API: reads a response, and the pages it links to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urljoin

from adapters.base import AdapterError
from adapters.http import unexpected
from adapters.http.client import HttpClient
from adapters.http.retry import Retryable
from adapters.mapping import legible


class JsonResponse(NamedTuple):
    """A JSON response. ``data``: the decoded JSON. The rest is as in :class:`~adapters.http.client.Response`."""

    data: Any
    url: str
    at: datetime
    began: datetime


class JsonClient(HttpClient):
    """An :class:`HttpClient` whose responses are JSON."""

    rejected = ": it rejected the request; check the settings of the source"

    def get(self, path: str, parameters: Mapping[str, str] | None = None) -> JsonResponse | None:
        """The response for a path below the base URL; ``None`` if nothing is there (404, 410)."""
        return self._get(self.address(path, parameters))

    def follow(self, link: str, origin: JsonResponse) -> JsonResponse:
        """The page that a response links to, with the link unchanged. A missing page fails the read; it never ends it."""
        answer = self._get(self.own_url(urljoin(origin.url, link)))
        if answer is None:
            raise AdapterError("the next page of a list was not found")
        return answer

    def _get(self, url: str) -> JsonResponse | None:
        return self.retrying(lambda: self._decoded(url))

    def _decoded(self, url: str) -> JsonResponse | None:
        response = self.once(url)
        if response is None:
            return None
        try:
            return JsonResponse(legible.loads(response.body), *response[1:])
        except (ValueError, RecursionError):
            raise Retryable(AdapterError(f"the server's response cannot be used: {unexpected.described(response.body)}")) from None
