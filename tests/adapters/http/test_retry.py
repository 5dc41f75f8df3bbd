from __future__ import annotations

import pytest

from adapters.base import AdapterError
from adapters.http.retry import ATTEMPTS, LONGEST_WAIT, Retryable, pause, retrying


class Server:
    """Fails a number of times, then answers."""

    def __init__(self, failures: int, asked: float | None = None) -> None:
        self.failures, self.asked, self.calls = failures, asked, 0
        self.slept: list[float] = []

    def ask(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise Retryable(AdapterError(f"failure {self.calls}", retry_after=self.asked))
        return "answer"

    def asked_for(self) -> str:
        return retrying(self.ask, self.slept.append)


def test_what_fails_in_passing_is_asked_again_with_waits_that_double() -> None:
    server = Server(ATTEMPTS - 1)
    assert server.asked_for() == "answer"
    assert all(0.75 * 2**turn <= slept <= 1.25 * 2**turn for turn, slept in enumerate(server.slept))
    assert len(server.slept) == ATTEMPTS - 1


def test_after_the_last_attempt_the_caller_hears_the_last_error() -> None:
    server = Server(ATTEMPTS)
    with pytest.raises(AdapterError, match=f"failure {ATTEMPTS}"):
        server.asked_for()


def test_what_a_server_asks_for_is_waited() -> None:
    server = Server(1, asked=20.0)
    assert server.asked_for() == "answer"
    assert server.slept == [20.0]


def test_a_server_that_asks_for_longer_than_a_run_waits_is_left_at_once() -> None:
    server = Server(1, asked=LONGEST_WAIT + 1)
    with pytest.raises(AdapterError) as error:
        server.asked_for()
    assert (error.value.retry_after, server.calls, server.slept) == (LONGEST_WAIT + 1, 1, [])


def test_what_fails_for_good_is_not_asked_again() -> None:
    def refused() -> None:
        raise AdapterError("no", permanent=True)

    with pytest.raises(AdapterError, match="no"):
        retrying(refused, lambda seconds: pytest.fail("it waited"))


def test_the_waits_are_spread() -> None:
    assert (pause(1, None, 0.0), pause(1, None, 1.0), pause(ATTEMPTS, None, 0.5)) == (0.75, 1.25, None)
