"""The client for senders. One rule above all: **no answer means do not send.**

A timeout, a refused connection, an error status, a body that cannot be read or that does not fit the request: each becomes a
:class:`Decision` not to send, with the reason ``no_answer``. A sender that uses :meth:`SenderClient.decide` and sends only when
``decision.decision == "send"`` cannot contact anybody by accident.

::

    client = SenderClient("http://127.0.0.1:8080", key)
    decision = client.decide(Who("MRN10001", authority="GENHOSP"), "automation", ["sms", "voice"], line="+12175550100")
    if decision.decision == "send":
        ...
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from store.domain import reasons as why
from store.domain.decision_request import DO_NOT_SEND, SEND, Appointment, Decision

TIMEOUT_SECONDS = 2.0
IN_ONE_REQUEST = 5_000
MOST_BYTES = 64 * 1024 * 1024
FAILURES = (OSError, HTTPException, msgspec.MsgspecError, ValueError)
_decision = msgspec.json.Decoder(Decision).decode
_decisions = msgspec.json.Decoder(list[Decision]).decode


class Who(NamedTuple):
    """A patient: an identifier's value with its issuer and type, or the store's own ``id``."""

    value: str | None = None
    authority: str | None = None
    type: str | None = None
    id: str | None = None


class BatchAsk(NamedTuple):
    """One request of a batch."""

    who: Who
    message_type: str
    channels: Sequence[str]
    line: str | None = None
    topic: str | None = None
    appointment: Appointment | None = None
    at: datetime | None = None


def no_answer() -> Decision:
    """The decision when the service gave no trustworthy answer: do not send."""
    return Decision(DO_NOT_SEND, reasons=(why.NO_ANSWER,))


class SenderClient:
    """Requests decisions. Thread-safe: each thread has its own connection. Never raises for failures of the service or the network.

    ``base_url`` starts with http or https (``ValueError`` otherwise); ``timeout`` is in seconds and applies to each wait.
    """

    def __init__(self, base_url: str, key: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("base_url must be a URL like https://contact.example:8080")
        self._connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._host, self._port, self._prefix = parts.hostname, parts.port, parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._timeout = timeout
        self._local = threading.local()

    def decide(
        self,
        who: Who,
        message_type: str,
        channels: Sequence[str],
        *,
        line: str | None = None,
        topic: str | None = None,
        appointment: Appointment | None = None,
        at: datetime | None = None,
    ) -> Decision:
        """Whether this message may be sent, on which channel and to which address. In any doubt the decision is not to send."""
        question = BatchAsk(who, message_type, channels, line, topic, appointment, at)
        try:
            return _checked(question, _decision(self._post("/v1/decisions", _wire(question))))
        except FAILURES:
            self.close()
            return no_answer()

    def decide_many(self, questions: Iterable[BatchAsk]) -> Iterator[tuple[BatchAsk, Decision]]:
        """Yields each question with its decision, in order. When an HTTP request fails, only its own questions remain without an answer."""
        remaining = iter(questions)
        while group := list(islice(remaining, IN_ONE_REQUEST)):
            yield from zip(group, self._group(group), strict=True)

    def close(self) -> None:
        """Closes this thread's connection; the next request opens another."""
        connection: HTTPConnection | None = getattr(self._local, "connection", None)
        self._local.connection = None
        if connection is not None:
            connection.close()

    def _group(self, group: Sequence[BatchAsk]) -> list[Decision]:
        try:
            decisions = _decisions(self._post("/v1/decisions/batch", [_wire(question) for question in group]))
            return [_checked(question, decision) for question, decision in zip(group, decisions, strict=True)]
        except FAILURES:
            self.close()
            return [no_answer()] * len(group)

    def _post(self, path: str, value: Any) -> bytes:
        """The body of a successful response. If the service closed the idle connection, it is reopened once."""
        body = msgspec.json.encode(value)
        if getattr(self._local, "connection", None) is not None:
            try:
                return self._exchange(path, body)
            except (ConnectionError, HTTPException):
                self.close()
        self._local.connection = self._connect(self._host, self._port, timeout=self._timeout)
        return self._exchange(path, body)

    def _exchange(self, path: str, body: bytes) -> bytes:
        connection: HTTPConnection = self._local.connection
        connection.request("POST", self._prefix + path, body, self._headers)
        response = connection.getresponse()
        answer = response.read(MOST_BYTES)
        if response.status != 200:
            raise ValueError(f"status {response.status}")
        return answer


def _wire(question: BatchAsk) -> dict[str, Any]:
    """The request as JSON, without absent values."""
    fields = question._asdict() | {"who": None, "channels": list(question.channels), "appointment": _appointment(question.appointment)}
    patient = {name: value for name, value in question.who._asdict().items() if value is not None}
    return {"patient": patient} | {name: value for name, value in fields.items() if value is not None}


def _appointment(appointment: Appointment | None) -> dict[str, Any] | None:
    if appointment is None:
        return None
    return {name: value for name, value in msgspec.structs.asdict(appointment).items() if value is not None}


def _checked(question: BatchAsk, decision: Decision) -> Decision:
    """The decision, if it is complete: sending needs an address and one of the requested channels."""
    if decision.decision == DO_NOT_SEND:
        return decision
    if decision.decision == SEND and decision.channel in question.channels and decision.address:
        return decision
    return no_answer()
