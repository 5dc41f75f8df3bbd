"""The API as one ASGI application: ``POST /v1/decisions`` is answered here, everything else by the framework.

Most requests ask for one decision, and the framework takes longer to find the route than the decision takes. How a decision is made is in
:mod:`store.web.api.decisions`, for the framework too: it has the same route for other spellings of the address (``/v1/decisions/``), and to
refuse other methods.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send

from store.web.api.decisions import ADDRESS
from store.web.api.endpoint import JSON
from store.web.http import problem
from store.web.http.answer import Headers, send_whole
from store.web.http.decision_counts import DecisionCounts
from store.web.http.spans import AskSpan, BeginSpan
from store.web.http.streaming import CallerDisconnected

Answer = Callable[[Headers, Receive, AskSpan | None], Awaitable[bytes]]
"""(headers, receive, span) -> the decision as JSON."""


class Front:
    """The application. ``answer`` decides one request; ``out_of_memory`` is called for each one that failed for lack of memory.

    ``counts``: how long the answers took. ``begin_span`` begins the trace of a request, where there is one.
    """

    def __init__(
        self,
        framework: Litestar,
        answer: Answer,
        out_of_memory: Callable[[], None],
        counts: DecisionCounts,
        begin_span: BeginSpan | None = None,
    ) -> None:
        self.framework, self.answer, self.out_of_memory = framework, answer, out_of_memory
        self.counts, self.begin_span = counts, begin_span

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or one lifespan (ASGI 3)."""
        if scope["type"] == ScopeType.HTTP and scope["path"] == ADDRESS and scope.get("method") == "POST":
            await self._decide(scope["headers"], receive, send)
        else:
            await self.framework(scope, receive, send)

    async def _decide(self, headers: Headers, receive: Receive, send: Send) -> None:
        began, span, status = time.perf_counter(), self.begin_span(headers) if self.begin_span else None, 0
        try:
            status = await self._answer(headers, receive, send, began, span)
        finally:
            if span is not None:
                span.answered(status)

    async def _answer(self, headers: Headers, receive: Receive, send: Send, began: float, span: AskSpan | None) -> int:
        """Answers, and returns the status; 0 if the caller went away."""
        try:
            body = await self.answer(headers, receive, span)
        except CallerDisconnected:
            return 0
        except Exception as error:
            return await self._refuse(error, began, send)
        self.counts.answered(200, time.perf_counter() - began)
        await send_whole(send, 200, JSON, body)
        return 200

    async def _refuse(self, error: Exception, began: float, send: Send) -> int:
        if isinstance(error, MemoryError):
            self.out_of_memory()
        found = problem.logged(error, "POST", ADDRESS)
        self.counts.answered(found.status, time.perf_counter() - began)
        await send_whole(send, found.status, problem.MEDIA_TYPE, found.body(), found.headers)
        return found.status
