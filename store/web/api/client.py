"""The client for senders. One rule above all: **no answer means do not send.**

A timeout, a refused connection, an error status, a body that cannot be read or that answers something else: each becomes a
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
    """A patient: the value of an identifier with its issuer and type, or the store's own ``id``."""

    value: str | None = None
    authority: str | None = None
    type: str | None = None
    id: str | None = None


class BatchAsk(NamedTuple):
    """One ask of a batch."""

    who: Who
    message_type: str
    channels: Sequence[str]
    line: str | None = None
    topic: str | None = None
    appointment: Appointment | None = None
    at: datetime | None = None


def no_answer() -> Decision:
    """What a sender gets when the service did not answer in a way that can be trusted."""
    return Decision(DO_NOT_SEND, reasons=(why.NO_ANSWER,))


class SenderClient:
    """Asks the service. Thread-safe: each thread keeps a connection of its own. Never raises for what the service or the network do.

    ``base_url`` begins with http or https (``ValueError`` otherwise); ``timeout`` is in seconds and holds for each wait.
    """

    def __init__(self, base_url: str, key: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("base_url must be a URL like https://contact.example:8080")
        self._connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._host, self._port, self._prefix = parts.hostname, parts.port, parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._timeout = timeout
        self._mine = threading.local()

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
        """May this message be sent, on which channel, to which address? Any doubt is a decision not to send."""
        question = BatchAsk(who, message_type, channels, line, topic, appointment, at)
        try:
            return _trusted(question, _decision(self._post("/v1/decisions", _wire(question))))
        except FAILURES:
            self.close()
            return no_answer()

    def decide_many(self, questions: Iterable[BatchAsk]) -> Iterator[tuple[BatchAsk, Decision]]:
        """Each question with its decision, in order. A request that fails leaves its own questions without an answer, no others."""
        waiting = iter(questions)
        while group := list(islice(waiting, IN_ONE_REQUEST)):
            yield from zip(group, self._group(group), strict=True)

    def close(self) -> None:
        """Closes this thread's connection; the next question opens another."""
        connection: HTTPConnection | None = getattr(self._mine, "connection", None)
        self._mine.connection = None
        if connection is not None:
            connection.close()

    def _group(self, group: Sequence[BatchAsk]) -> list[Decision]:
        try:
            decisions = _decisions(self._post("/v1/decisions/batch", [_wire(question) for question in group]))
            return [_trusted(question, decision) for question, decision in zip(group, decisions, strict=True)]
        except FAILURES:
            self.close()
            return [no_answer()] * len(group)

    def _post(self, path: str, value: Any) -> bytes:
        """The body of a good answer. An idle connection that the service closed meanwhile is opened again once."""
        body = msgspec.json.encode(value)
        if getattr(self._mine, "connection", None) is not None:
            try:
                return self._exchange(path, body)
            except (ConnectionError, HTTPException):
                self.close()
        self._mine.connection = self._connect(self._host, self._port, timeout=self._timeout)
        return self._exchange(path, body)

    def _exchange(self, path: str, body: bytes) -> bytes:
        connection: HTTPConnection = self._mine.connection
        connection.request("POST", self._prefix + path, body, self._headers)
        response = connection.getresponse()
        answer = response.read(MOST_BYTES)
        if response.status != 200:
            raise ValueError(f"status {response.status}")
        return answer


def _wire(question: BatchAsk) -> dict[str, Any]:
    """The ask as JSON; what is not given is left out."""
    rest = question._asdict() | {"who": None, "channels": list(question.channels), "appointment": _appointment(question.appointment)}
    patient = {name: value for name, value in question.who._asdict().items() if value is not None}
    return {"patient": patient} | {name: value for name, value in rest.items() if value is not None}


def _appointment(appointment: Appointment | None) -> dict[str, Any] | None:
    if appointment is None:
        return None
    return {name: value for name, value in msgspec.structs.asdict(appointment).items() if value is not None}


def _trusted(question: BatchAsk, decision: Decision) -> Decision:
    """The decision, if it is one: to send takes an address and a channel that was asked for."""
    if decision.decision == DO_NOT_SEND:
        return decision
    if decision.decision == SEND and decision.channel in question.channels and decision.address:
        return decision
    return no_answer()
