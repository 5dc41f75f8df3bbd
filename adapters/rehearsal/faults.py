"""Faults on demand: what the next requests to the rehearsal EMR will meet instead of an answer."""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import NamedTuple


class Fault(NamedTuple):
    """Answer ``status`` (0: cut the connection in the middle of the body) with ``headers``, after ``delay`` seconds.

    A status of 200 only delays: the request is then answered as usual.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    delay: float = 0.0


CUT = Fault(0)


class Faults:
    """A queue of faults, taken one per request for patients (never for metadata or tokens), from any thread."""

    def __init__(self) -> None:
        self._queue: deque[Fault] = deque()
        self._lock = Lock()
        self.delay = 0.0
        self.break_next_links = False
        self.taken = 0

    def unauthorized(self, times: int = 1) -> None:
        """Refuse a valid token."""
        self._add(Fault(401), times)

    def throttle(self, times: int = 1, *, retry_after: str = "1") -> None:
        """429 with Retry-After: seconds, or an HTTP date."""
        self._add(Fault(429, (("Retry-After", retry_after),)), times)

    def fail(self, times: int = 1, *, status: int = 500) -> None:
        """A server error."""
        self._add(Fault(status), times)

    def cut(self, times: int = 1) -> None:
        """Close the connection in the middle of the body."""
        self._add(CUT, times)

    def stall(self, times: int = 1, *, seconds: float) -> None:
        """Answer late."""
        self._add(Fault(200, delay=seconds), times)

    def answer_well(self, times: int = 1) -> None:
        """Let requests through, so that a later fault meets a page in the middle."""
        self._add(Fault(200), times)

    def next(self) -> Fault | None:
        """The fault for this request, or ``None``."""
        with self._lock:
            if not self._queue:
                return Fault(200, delay=self.delay) if self.delay else None
            self.taken += 1
            return self._queue.popleft()

    def _add(self, fault: Fault, times: int) -> None:
        with self._lock:
            self._queue.extend([fault] * times)
