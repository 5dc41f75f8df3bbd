"""Calls of others that have no API key but are signed: webhooks of messaging providers (``POST /v1/inbound/{provider}``), and
notifications of EMRs (``POST /v1/push/{source}``).

What a body means is configuration, so ``sync`` handles it (:data:`Receive`). Here are the limits of what anybody may send.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from store.web.http.body import whole
from store.web.http.lanes import BUSY_SECONDS, WorkerThreads
from store.web.http.problem import ProblemDetails

MOST_BYTES = 512 * 1024  # SNS sends up to 256 KiB, with every quote escaped
LONGEST_SECONDS = 10.0
PROVIDERS, PUSH = "/v1/inbound/{provider:str}", "/v1/push/{source:str}"


class InboundRequest(NamedTuple):
    """A call as it arrived. ``name``: of the provider or source. ``target``: path and query. ``peer``: the IP address of the caller."""

    name: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    peer: str


class InboundAnswer(NamedTuple):
    """The answer that the caller expects after the commit."""

    status: int
    body: bytes = b""
    media: str = "text/plain"


Receive = Callable[[InboundRequest], InboundAnswer]
"""Verifies, reads and commits. Raises :class:`ProblemDetails` 401 for a request that is not signed, also if its name is unknown."""


def handler(path: str, receive: Receive, lane: WorkerThreads) -> HTTPRouteHandler:
    """The address for Litestar. Its calls have threads of their own, so that a flood of one kind does not block another."""

    async def inbound(request: Request[Any, Any, Any]) -> ASGIResponse:
        body = await whole(request, LONGEST_SECONDS)
        (name,) = request.path_params.values()
        found = InboundRequest(name, _target(request), request.headers, body, request.client.host if request.client else "")
        try:
            answer = await lane.run(receive, found)
        except ProblemDetails as problem:
            if problem.status == 429:  # most callers repeat after 503, and give up after 4xx
                raise ProblemDetails(503, problem.code, problem.detail, {"Retry-After": str(BUSY_SECONDS)}) from None
            raise
        return ASGIResponse(body=answer.body, status_code=answer.status, media_type=answer.media)

    return HTTPRouteHandler(path, http_method="POST", status_code=200, request_max_body_size=MOST_BYTES)(inbound)


def _target(request: Request[Any, Any, Any]) -> str:
    """The path and query as the caller wrote them: a signature covers them byte by byte."""
    path = request.scope.get("raw_path") or request.url.path.encode()
    query = request.scope["query_string"]
    return (path.partition(b"?")[0] + (b"?" + query if query else b"")).decode("latin-1")
