"""An endpoint as data: method, path, roles, the types of request and response, and a plain function that answers.

This file does what all endpoints share: check the key and the role, decode the body, and encode the response. The function itself is
synchronous; it runs in a worker thread since it uses the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import msgspec
from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from store.domain.lock import Actor, Grant, Role
from store.users.api_keys import ApiKey
from store.web.api.wire import read
from store.web.http.auth import Callers, caller
from store.web.http.body import whole
from store.web.http.border import check_texts
from store.web.http.problem import ProblemDetails
from store.web.http.streaming import StreamedResponse, read_in_threads

JSON = "application/json"
encode = msgspec.json.Encoder().encode


class Call(NamedTuple):
    """A checked request: who calls, what was sent, and when."""

    key: ApiKey
    path: Mapping[str, Any]
    query: Mapping[str, Any]
    headers: Mapping[str, str]
    body: Any
    now: datetime

    @property
    def enterprise(self) -> str:
        """The one enterprise this caller can see."""
        return self.key.enterprise

    @property
    def actor(self) -> Actor:
        """The caller, for the history."""
        return self.key.actor

    @property
    def who(self) -> str:
        """The caller, for the audit log."""
        return str(self.actor)


class ApiResponse(NamedTuple):
    """The response: body, headers, status and media type.

    ``body``: ``None`` sends an empty body, bytes are sent as they are, a generator of bytes is streamed, anything else becomes JSON.
    """

    body: Any
    headers: Mapping[str, str] = {}
    status: int = 200
    media: str = JSON


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint. ``parameters`` describes the query for the OpenAPI document. ``grant``: a sender's key with it may call it too.

    ``takes`` and ``gives`` are the types of request and response; ``status`` is that of a successful response, for the document.
    """

    method: str
    path: str
    roles: frozenset[Role]
    summary: str
    answer: Callable[[Call], ApiResponse]
    takes: Any = None
    gives: Any = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    grant: Grant | None = None
    status: int = 200

    def handler(self, callers: Callers, clock: Callable[[], datetime]) -> HTTPRouteHandler:
        """The endpoint's Litestar route."""

        async def handle(request: Request[Any, Any, Any]) -> ASGIResponse:
            key = await caller(request.headers, callers, self.roles, self.grant)
            check_texts(request.path_params)
            check_texts(request.query_params)
            body = read(await whole(request), self.takes) if self.takes is not None else None
            call = Call(key, request.path_params, request.query_params, request.headers, body, clock())
            return respond(await asyncio.to_thread(self.answer, call))

        return HTTPRouteHandler(self.path, http_method=self.method, status_code=200)(handle)  # type: ignore[arg-type]


def respond(answer: ApiResponse) -> ASGIResponse:
    """The HTTP response of an answer."""
    if isinstance(answer.body, Generator):
        return StreamedResponse(partial(read_in_threads, answer.body), answer.media, answer.headers)
    body = answer.body if isinstance(answer.body, bytes) else b"" if answer.body is None else encode(answer.body)
    return ASGIResponse(body=body, status_code=answer.status, headers=dict(answer.headers), media_type=answer.media)


def etag(version: int) -> dict[str, str]:
    """The patient's version as an entity tag."""
    return {"etag": f'"{version}"'}


def if_match(headers: Mapping[str, str]) -> int | None:
    """The version that the caller's change is based on (RFC 9110 13.1.1); ``None`` for any version."""
    text = headers.get("if-match", "").strip()
    if text in ("", "*"):
        return None
    version = text.removeprefix("W/").strip('"')
    if not (version.isascii() and version.isdigit() and len(version) < 19):
        raise ProblemDetails(412, "version_conflict", "If-Match is not an entity tag of this patient: read it again before changing it")
    return int(version)
