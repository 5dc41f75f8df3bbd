"""Received messages wait in the :class:`Inbox`. A :class:`Delivery` passes a group of them to ``ingest`` and always produces an answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from adapters.base import Ingest, IngestResult, Payload, Unmappable
from adapters.hl7v2.connection import Connection
from adapters.hl7v2.reader import header
from adapters.hl7v2.sequence import SequenceCheck, check_sequence, number
from adapters.notes import Notes

LAST_NUMBER = "sequence.last"
NOT_HANDLED = IngestResult("unavailable", "not_handled", "the message cannot be processed now and nothing was stored: send it again")
OUT_OF_SEQUENCE = "MSH-13 is not the next sequence number: messages may be missing. The sender must restart the sequence (0 or -1)"


class InboxMessage(NamedTuple):
    """A message, and the connection that its acknowledgement goes to."""

    connection: Connection
    payload: Payload


@dataclass(slots=True)
class Inbox:
    """The queue of received messages of all connections, in the order of arrival.

    Holds up to ``max_messages`` and ``max_bytes``. Bytes count until their message is answered.
    """

    max_messages: int
    max_bytes: int
    _waiting: deque[InboxMessage] = field(default_factory=deque)
    _bytes: int = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def has_room(self) -> bool:
        """Whether reading from connections may continue."""
        return len(self._waiting) < self.max_messages and self._bytes < self.max_bytes

    @property
    def is_low(self) -> bool:
        """Whether paused connections may be read again."""
        return len(self._waiting) < self.max_messages // 2 and self._bytes < self.max_bytes // 2

    def put(self, received: InboxMessage) -> None:
        """Adds a message."""
        self._bytes += len(received.payload.body)
        self._waiting.append(received)

    def group(self, size: int, size_bytes: int) -> list[InboxMessage]:
        """Removes and returns the next messages, limited by count and bytes; at least one if any is waiting."""
        found: list[InboxMessage] = []
        room = size_bytes
        while self._waiting and len(found) < size and (not found or len(self._waiting[0].payload.body) <= room):
            found.append(self._waiting.popleft())
            room -= len(found[-1].payload.body)
        return found

    def answered(self, received: InboxMessage) -> None:
        """Stops counting the bytes of an answered message."""
        self._bytes -= len(received.payload.body)


class Handled(NamedTuple):
    """The result of a message, and the next expected sequence number if sequence numbers are used."""

    answer: IngestResult
    expected: int | None = None

    @property
    def failed(self) -> bool:
        """Whether the message could not be handled for reasons that are not its own."""
        return self.answer is NOT_HANDLED or self.answer is NOT_IN_TIME


NOT_IN_TIME = IngestResult(
    "unavailable", "not_in_time", "the message was not processed in time: send it again. Duplicates are not applied twice"
)
LATE = Handled(NOT_IN_TIME)


class Delivery:
    """Delivers messages to ``ingest``, and checks sequence numbers if configured.

    ``notes`` store the last sequence number; ``None`` if MSH-13 is ignored. ``alert`` receives messages with an unexpected number.
    """

    def __init__(self, ingest: Ingest, notes: Notes | None, alert: Callable[[Unmappable], None]) -> None:
        self._ingest, self._notes, self._alert = ingest, notes, alert

    def deliver(self, payloads: Sequence[Payload]) -> list[Handled]:
        """Delivers a group. Returns when its data and the sequence number are committed. Never raises."""
        if self._notes is None:
            return [Handled(answer) for answer in self._answers(payloads)]
        try:
            return self._in_sequence(payloads, self._notes)
        except Exception:
            return [Handled(NOT_HANDLED)] * len(payloads)

    def _answers(self, payloads: Sequence[Payload]) -> Sequence[IngestResult]:
        """The results of ``ingest``. If it fails, nothing is committed, so the senders are asked to send again."""
        try:
            answers = self._ingest(payloads)
        except Exception:
            return [NOT_HANDLED] * len(payloads)
        return answers if len(answers) == len(payloads) else [NOT_HANDLED] * len(payloads)

    def _in_sequence(self, payloads: Sequence[Payload], notes: Notes) -> list[Handled]:
        """Delivers the messages whose number is expected.

        A crash between the commit and the note does no harm: the sender repeats the number, and the store recognises the message.
        """
        stored = notes.read(LAST_NUMBER)
        last = previous = int(stored) if stored else None
        checks: list[SequenceCheck] = []
        for payload in payloads:
            checks.append(check_sequence(_sequence_number(payload.body), last))
            last = checks[-1].last
        answers = iter(self._answers([payload for payload, one in zip(payloads, checks, strict=True) if one.accepted]))
        handled = [self._handled(payload, one, answers) for payload, one in zip(payloads, checks, strict=True)]
        if any(one.answer is NOT_HANDLED for one in handled):
            return [one._replace(expected=None) for one in handled]
        if last != previous:
            notes.change(LAST_NUMBER, lambda _: "" if last is None else str(last))
        return handled

    def _handled(self, payload: Payload, one: SequenceCheck, answers: Iterator[IngestResult]) -> Handled:
        if one.accepted:
            return Handled(next(answers), one.expected)
        self._alert(Unmappable("sequence_mismatch", OUT_OF_SEQUENCE, payload.locator, payload.body, "MSH-13"))
        return Handled(IngestResult("unavailable", "sequence_mismatch", OUT_OF_SEQUENCE), one.expected)


def _sequence_number(body: bytes) -> int | None:
    found = header(body)
    return number(found[1][13]) if found and len(found[1]) > 13 else None
