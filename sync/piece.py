"""One record on its way: what was read, the bytes it came from, and what of it is kept when it cannot be used. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from adapters.base import Answer, Batch, Filtered, Item, Mapper, Payload, Unmappable
from adapters.evidence import named
from store.journal import Rejected
from store.preference import PatientMerge, PatientStatements, Problem

OUTCOMES = ("applied", "unchanged", "stale", "filtered", "rejected", "held", "merged")
WORST_FIRST = ("rejected", "held", "merged", "applied", "unchanged", "stale", "filtered")
UNDECIDED = "undecided"
"""Counted beside the outcomes: attributes of which nobody could tell which evidence is newer."""

NONSENSE = frozenset({"not_hl7", "not_json", "not_fhir", "not_a_record"})
"""Reasons of payloads that are no message and no record at all."""

NOT_KEPT = "a part of the message could not be used, and there is no room to keep it until this hour ends: keep it and send it again"

NOTHING = Answer("filtered", "nothing_to_read")


class Piece(NamedTuple):
    """One item and the bytes it came from."""

    item: Item
    payload: bytes = b""


def read(mapper: Mapper, payload: Payload) -> list[Piece]:
    """What a payload says. A mapper does not raise; should it, that payload is set aside and the others go on."""
    try:
        items = mapper.read(payload)
    except Exception as error:
        items = [Unmappable("mapper_failed", f"reading it ended in {type(error).__name__}: please report this", payload.locator)]
    return [Piece(item, payload.body) for item in items] or [Piece(Filtered(NOTHING.reason, payload.locator))]


def pieces(batch: Batch) -> list[Piece]:
    """The items of a batch with the bytes that they came from."""
    return [Piece(item, payload) for item, payload in zip(batch.items, batch.payloads or [b""] * len(batch.items), strict=True)]


def decided_alone(item: Item) -> Answer | None:
    if isinstance(item, Filtered):
        return Answer("filtered", item.reason)
    return Answer("rejected", item.reason, item.detail) if isinstance(item, Unmappable) else None


def rejected(piece: Piece, answer: Answer, *, answered: bool = False) -> Iterator[Rejected]:
    """The rows to keep of one piece: the record, when it was rejected, else the parts of it that could not be used.

    ``answered``: its sender is told that it was rejected. Then, or where it is plain nonsense, a record of nobody may be left out when
    too many come.
    """
    item = piece.item
    payload = (item.payload if isinstance(item, Unmappable) else b"") or piece.payload
    if answer.outcome == "rejected":
        path = item.path if isinstance(item, Unmappable) else ""
        nameless = isinstance(item, Unmappable) and (answered or item.reason in NONSENSE)
        yield Rejected(answer.reason, answer.detail, path, item.locator, payload, "record", _called(item, payload), nameless)
    for problem in problems(piece) if answer.outcome != "rejected" else ():
        yield Rejected(problem.reason, problem.detail, problem.path, item.locator, payload, "field", _called(item, payload))


def _called(item: Item, payload: bytes) -> str:
    return item.evidence_id if isinstance(item, PatientStatements | PatientMerge) else named(payload)


def problems(piece: Piece) -> tuple[Problem, ...]:
    """The parts of a record that could not be used."""
    return piece.item.problems if isinstance(piece.item, PatientStatements) else ()


def summary(answers: Sequence[Answer]) -> Answer:
    """The answer to a payload that held several records: what the sender most needs to hear, and the problems of all."""
    worst = min(answers, key=lambda answer: WORST_FIRST.index(answer.outcome), default=NOTHING)
    return worst if len(answers) < 2 else worst._replace(problems=tuple(problem for answer in answers for problem in answer.problems))


def not_kept(answer: Answer) -> Answer:
    """What the sender is told where a part could not be used and is not kept here either: that it shall keep the message."""
    first = answer.problems[0].reason if answer.problems else answer.reason
    return answer._replace(outcome="rejected", reason=first, detail=NOT_KEPT)


def grouped(pieces: Iterable[Piece], size: int, size_bytes: int) -> Iterator[list[Piece]]:
    """Groups of at most ``size`` pieces and, but for one alone that is larger, ``size_bytes`` of payloads."""
    group: list[Piece] = []
    room = size_bytes
    for piece in pieces:
        if group and (len(group) == size or len(piece.payload) > room):
            yield group
            group, room = [], size_bytes
        group.append(piece)
        room -= len(piece.payload)
    if group:
        yield group


def not_storable(error: Exception) -> str:
    return f"the database does not take it ({type(error).__name__}): look for control characters or numbers beyond all bounds"


def records(counts: Mapping[str, int]) -> int:
    """How many records a run has counted so far."""
    return sum(counts.get(outcome, 0) for outcome in OUTCOMES)
