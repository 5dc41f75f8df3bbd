"""What the API processes of one service have together. The first one has it; the others ask for it (``sync.api_processes``).

A question is a name and its arguments, over a connection that only the two processes have. Each process asks one question at a time.
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
        self._connection, self._lock, self._asked = connection, threading.Lock(), 0

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
        self._asked += 1
        self._connection.send((self._asked, name, arguments))
        while self._connection.poll(max(0.0, until - time.monotonic())):
            number, is_answered, answer = self._connection.recv()
            if number == self._asked and is_answered:
                return answer
            if number == self._asked:
                break
        raise _unanswered()


def answer(connection: Connection, shared: Shared) -> None:
    """The side of the first process: answers another until that one has ended."""
    with connection, suppress(EOFError, OSError):
        while True:
            number, name, arguments = connection.recv()
            connection.send((number, *_answered(getattr(shared, name), arguments)))


def _answered(found: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    try:
        return True, found(*arguments)
    except Exception as error:
        logs.logger().error("a question of another process of the API was not answered", error=logs.place(error))
        return False, None


def _unanswered() -> ProblemDetails:
    return ProblemDetails(503, "service_unavailable", NO_ANSWER, {"Retry-After": RETRY_AFTER})
