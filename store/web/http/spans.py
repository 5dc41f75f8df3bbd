"""What a trace of a decision needs to know, told to whoever traces. Without tracing there are no spans, and nothing is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from store.domain.decision_request import Decision
from store.web.http.answer import Headers


class AskSpan(Protocol):
    """One request for a decision, from its headers to its answer."""

    def decided(self, decision: Decision) -> None:
        """Called in the thread that decides."""

    def answered(self, status: int) -> None:
        """Called at the end, with the HTTP status; 0 if the caller went away."""


BeginSpan = Callable[[Headers], AskSpan | None]
