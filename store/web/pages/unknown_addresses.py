"""Addresses that do not exist: browsers get a page, other callers and the API problem details as everywhere."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from litestar import Request, Response

from store.web.http.problem import MEDIA_TYPE, answer, problem_of
from store.web.pages.page import HTML, STRICT, Frame
from store.web.pages.templates import rendered

API = "/v1"
OFFERED = [MEDIA_TYPE, "application/json", HTML]


class UnknownAddresses:
    """Answers 404 and 405. The page is the same for everybody, so it reads no session and reveals nothing."""

    def __init__(self, frame: Frame, clock: Callable[[], datetime]) -> None:
        self.frame, self.clock = frame, clock

    def answer(self, request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        """Handles the framework's exception."""
        if not _prefers_page(request):
            return answer(request, error)
        problem = problem_of(error)
        page = rendered("no_page.html", {**self.frame(None, self.clock()), "title": "Page not found"})
        return Response(page, status_code=problem.status, headers={**STRICT, **problem.headers}, media_type=HTML)


def _prefers_page(request: Request[Any, Any, Any]) -> bool:
    path = request.scope["path"]
    return path != API and not path.startswith(f"{API}/") and request.accept.best_match(OFFERED) == HTML
