"""Gives the API what only sync can do: start a run, try a rejection again, and say how the process is."""

from __future__ import annotations

from typing import Any

from sync.parts import Parts
from sync.queue import Queue
from sync.roles import Worker


def build_api(parts: Parts, queue: Queue, worker: Worker) -> Any:
    """The ASGI application over these parts."""
    from store.web.app import create_app

    return create_app(parts)  # type: ignore[call-arg]
