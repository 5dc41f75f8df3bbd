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
from store.web.http.streaming import CallerDisconnected

Answer = Callable[[Headers, Receive], Awaitable[bytes]]
"""(headers, receive) -> the decision as JSON."""


class Front:
    """The application. ``answer`` decides one request; ``out_of_memory`` is called for each one that failed for lack of memory.

    ``counts``: how long the answers took.
    """

    def __init__(self, framework: Litestar, answer: Answer, out_of_memory: Callable[[], None], counts: DecisionCounts) -> None:
        self.framework, self.answer, self.out_of_memory, self.counts = framework, answer, out_of_memory, counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or one lifespan (ASGI 3)."""
        if scope["type"] == ScopeType.HTTP and scope["path"] == ADDRESS and scope.get("method") == "POST":
            await self._decide(scope["headers"], receive, send)
        else:
            await self.framework(scope, receive, send)

    async def _decide(self, headers: Headers, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        try:
            body = await self.answer(headers, receive)
        except CallerDisconnected:
            return
        except Exception as error:
            await self._refuse(error, began, send)
            return
        self.counts.answered(200, time.perf_counter() - began)
        await send_whole(send, 200, JSON, body)

    async def _refuse(self, error: Exception, began: float, send: Send) -> None:
        if isinstance(error, MemoryError):
            self.out_of_memory()
        found = problem.logged(error, "POST", ADDRESS)
        self.counts.answered(found.status, time.perf_counter() - began)
        await send_whole(send, found.status, problem.MEDIA_TYPE, found.body(), found.headers)
