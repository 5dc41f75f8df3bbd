"""``POST /v1/inbound/{provider}``: webhooks of messaging providers. They have no API key; each request is signed by its provider.

What a provider's body means is configuration, so ``sync`` handles it (:data:`Receive`). Here are the limits of what anybody may send.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from store.web.http.body import whole
from store.web.http.lanes import BUSY_SECONDS, Lanes
from store.web.http.problem import ProblemDetails

MOST_BYTES = 512 * 1024  # SNS sends up to 256 KiB, with every quote escaped
LONGEST_SECONDS = 10.0
PATH = "/v1/inbound/{provider:str}"


class InboundRequest(NamedTuple):
    """A webhook as it arrived. ``target``: path and query. ``peer``: the IP address of the caller."""

    provider: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    peer: str


class InboundAnswer(NamedTuple):
    """The answer that the provider expects after its events were committed."""

    status: int
    body: bytes = b""
    media: str = "text/plain"


Receive = Callable[[InboundRequest], InboundAnswer]
"""Verifies, reads and commits. Raises :class:`ProblemDetails` 404 for an unknown provider, 401 for a request that it did not sign."""


def handler(receive: Receive, lanes: Lanes) -> HTTPRouteHandler:
    """The address for Litestar."""

    async def inbound(request: Request[Any, Any, Any]) -> ASGIResponse:
        body = await whole(request, LONGEST_SECONDS)
        found = InboundRequest(
            request.path_params["provider"], _target(request), request.headers, body, request.client.host if request.client else ""
        )
        try:
            answer = await lanes.inbound.run(receive, found)
        except ProblemDetails as problem:
            if problem.status == 429:  # most providers repeat after 503, and give up after 4xx
                raise ProblemDetails(503, problem.code, problem.detail, {"Retry-After": str(BUSY_SECONDS)}) from None
            raise
        return ASGIResponse(body=answer.body, status_code=answer.status, media_type=answer.media)

    return HTTPRouteHandler(PATH, http_method="POST", status_code=200, request_max_body_size=MOST_BYTES)(inbound)


def _target(request: Request[Any, Any, Any]) -> str:
    """The path and query as the caller wrote them: a signature covers them byte by byte."""
    path = request.scope.get("raw_path") or request.url.path.encode()
    query = request.scope["query_string"]
    return (path.partition(b"?")[0] + (b"?" + query if query else b"")).decode("latin-1")
