"""A group of received messages on its way to ``ingest``: in sequence where that is agreed, and answered whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from adapters.base import Ingest, IngestResult, Payload, Unmappable
from adapters.hl7v2.reader import header
from adapters.hl7v2.sequence import Turn, number, turn
from adapters.notes import Notes

LAST = "sequence.last"
NOT_HANDLED = IngestResult("unavailable", "not_handled", "the message cannot be processed now and nothing was stored: send it again")
OUT_OF_TURN = "MSH-13 is not the next sequence number: messages may be missing. The sender must restart the sequence (0 or -1)"


class Handled(NamedTuple):
    """What became of a message, and the sequence number to go on with, where numbers are agreed."""

    answer: IngestResult
    expected: int | None = None

    @property
    def failed(self) -> bool:
        """Whether it could not be handled, through no fault of its own."""
        return self.answer is NOT_HANDLED or self.answer is NOT_IN_TIME


NOT_IN_TIME = IngestResult(
    "unavailable", "not_in_time", "the message was not processed in time: send it again. Duplicates are not applied twice"
)
LATE = Handled(NOT_IN_TIME)


class Delivery:
    """``notes`` keep the last sequence number, ``None`` where MSH-13 means nothing. ``alert`` is told of numbers out of turn."""

    def __init__(self, ingest: Ingest, notes: Notes | None, alert: Callable[[Unmappable], None]) -> None:
        self._ingest, self._notes, self._alert = ingest, notes, alert

    def take(self, payloads: Sequence[Payload]) -> list[Handled]:
        """Returns when everything that is to be kept is committed, the sequence number included. Never raises."""
        if self._notes is None:
            return [Handled(answer) for answer in self._answers(payloads)]
        try:
            return self._in_sequence(payloads, self._notes)
        except Exception:
            return [Handled(NOT_HANDLED)] * len(payloads)

    def _answers(self, payloads: Sequence[Payload]) -> Sequence[IngestResult]:
        """The answers of ``ingest``; when it fails, nothing is committed, so the senders shall try again."""
        try:
            answers = self._ingest(payloads)
        except Exception:
            return [NOT_HANDLED] * len(payloads)
        return answers if len(answers) == len(payloads) else [NOT_HANDLED] * len(payloads)

    def _in_sequence(self, payloads: Sequence[Payload], notes: Notes) -> list[Handled]:
        """A crash between the commit and the note is no gap: the sender repeats the number, and the store knows the message."""
        known = notes.read(LAST)
        last = before = int(known) if known else None
        turns: list[Turn] = []
        for payload in payloads:
            turns.append(turn(_sequence_number(payload.body), last))
            last = turns[-1].last
        answers = iter(self._answers([payload for payload, one in zip(payloads, turns, strict=True) if one.taken]))
        handled = [self._handled(payload, one, answers) for payload, one in zip(payloads, turns, strict=True)]
        if any(one.answer is NOT_HANDLED for one in handled):
            return [one._replace(expected=None) for one in handled]
        if last != before:
            notes.change(LAST, lambda _: "" if last is None else str(last))
        return handled

    def _handled(self, payload: Payload, one: Turn, answers: Iterator[IngestResult]) -> Handled:
        if one.taken:
            return Handled(next(answers), one.expected)
        self._alert(Unmappable("sequence_mismatch", OUT_OF_TURN, payload.locator, payload.body, "MSH-13"))
        return Handled(IngestResult("unavailable", "sequence_mismatch", OUT_OF_TURN), one.expected)


def _sequence_number(body: bytes) -> int | None:
    found = header(body)
    return number(found[1][13]) if found and len(found[1]) > 13 else None
