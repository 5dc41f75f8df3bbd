"""What the API processes of one service have together. The first one has it; the others ask for it (``sync.api_processes``).

A question is a name and its arguments, over a connection that only the two processes have. Each process asks one question at a time, and
no other while it is owed an answer: if the first process stands still, who asks for metrics would wait one after the other, and readiness
behind them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from store.web.api.health import Readiness
from store.web.http.problem import RETRY_AFTER, ProblemDetails
from sync import logs

WITHIN, READINESS_WITHIN = 3.0, 1.0
"""Seconds in which a question is answered. Without readiness the process has time for a look of its own before a balancer gives up."""
NO_ANSWER = "the first process of the service does not answer: try again later"


class Shared(NamedTuple):
    """What all of them answer alike: metrics, readiness, and whether a sign-in may be tried (``store.users.throttle``)."""

    metrics: Callable[[], bytes]
    readiness: Callable[[], Readiness]
    admit: Callable[[str, str, datetime], timedelta]
    accept: Callable[[str, str, datetime], None]


class Questions:
    """The side of a process that asks. Thread-safe."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._lock, self._is_owed = connection, threading.Lock(), False

    def close(self) -> None:
        """Asks no more."""
        self._connection.close()

    def shared(self) -> Shared:
        """What the first process has. Everything raises :class:`ProblemDetails` 503 if that one does not answer."""
        found = Shared(*(partial(self.ask, name) for name in Shared._fields))
        return found._replace(readiness=partial(self.ask, "readiness", within=READINESS_WITHIN))

    def ask(self, name: str, *arguments: Any, within: float = WITHIN) -> Any:
        """The answer to one question."""
        until = time.monotonic() + within
        if not self._lock.acquire(timeout=within):
            raise _unanswered()
        try:
            return self._answer(name, arguments, until)
        except (EOFError, OSError):
            raise _unanswered() from None
        finally:
            self._lock.release()

    def _answer(self, name: str, arguments: tuple[Any, ...], until: float) -> Any:
        if self._is_owed:
            self._received(until=time.monotonic())  # too late for whoever asked
        self._connection.send((name, arguments))
        self._is_owed = True
        is_answered, answer = self._received(until)
        if not is_answered:
            raise _unanswered()
        return answer

    def _received(self, until: float) -> tuple[bool, Any]:
        if not self._connection.poll(max(0.0, until - time.monotonic())):
            raise _unanswered()
        is_answered, answer = self._connection.recv()
        self._is_owed = False
        return is_answered, answer


def answer(connection: Connection, shared: Shared) -> None:
    """The side of the first process: answers another until that one has ended."""
    with connection, suppress(EOFError, OSError):
        while True:
            name, arguments = connection.recv()
            connection.send(_answered(getattr(shared, name), arguments))


def _answered(found: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    try:
        return True, found(*arguments)
    except Exception as error:
        logs.logger().error("a question of another process of the API was not answered", error=logs.place(error))
        return False, None


def _unanswered() -> ProblemDetails:
    return ProblemDetails(503, "service_unavailable", NO_ANSWER, {"Retry-After": RETRY_AFTER})
