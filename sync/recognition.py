"""Reads payloads, except those that came before, byte for byte, and are still in force: these are only recognized.

A record that a source sends again unchanged costs a glance instead of being mapped. Whether it repeats what is known is found in the
transaction that commits it (``store.patients.apply``). If not, that transaction changes nothing, and the record is read after all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

from adapters.base import Batch, IngestResult, Mapper, Payload, Recognizes
from store.preference import PatientStatements, RecordOutcome
from sync.intake import Piece, pieces_of, read
from sync.mapping_ahead import MappingAhead

LEAST_REPEATED = 0.5
"""The share of a group that must repeat what is known for a glance at the next one to be worth its time. In a first load none does."""


@dataclass(slots=True)
class PayloadReader:
    """How payloads of one source are read. If it is not ``is_worth_it`` to recognize them, each is mapped, ``ahead`` in a large load."""

    mapper: Mapper
    ahead: MappingAhead | None = None
    is_worth_it: bool = True
    _recognizer: Recognizes | None = field(init=False)

    def __post_init__(self) -> None:
        self._recognizer = self.mapper if isinstance(self.mapper, Recognizes) else None

    def pieces(self, payloads: Iterable[Payload]) -> Iterator[Piece]:
        """The pieces of all payloads, in order. Call :meth:`learn` after each commit."""
        stream = iter(payloads)
        for payload in stream:
            if self.ahead and self._maps_ahead():
                for one, items in self.ahead.map(chain([payload], stream), self._maps_ahead):
                    yield from pieces_of(one, items)
            else:
                yield from self._read(payload)

    def of_batch(self, batch: Batch) -> Iterator[Piece]:
        """The pieces of a batch, in order, with the bytes that they came from."""
        for item, body in zip(batch.items, batch.payloads or [b""] * len(batch.items), strict=True):
            yield from self._read(item) if isinstance(item, Payload) else [Piece(item, body)]

    def learn(self, answers: Sequence[IngestResult]) -> None:
        """Looks at what became of a group."""
        repeated = sum(answer.outcome == RecordOutcome.UNCHANGED for answer in answers)
        self.is_worth_it = repeated >= LEAST_REPEATED * len(answers)
        if self.ahead:
            self.ahead.count(len(answers))

    def _maps_ahead(self) -> bool:
        return self.ahead is not None and self.ahead.is_ready and not (self.is_worth_it and self._recognizer)

    def _read(self, payload: Payload) -> Sequence[Piece]:
        found = _glance(self._recognizer, payload) if self._recognizer and self.is_worth_it else None
        return read(self.mapper, payload) if found is None else [Piece(found, payload.body, partial(read, self.mapper, payload))]


def _glance(mapper: Recognizes, payload: Payload) -> PatientStatements | None:
    """A mapper should not raise; if it does, the payload is read, and that tells what is wrong with it."""
    try:
        return mapper.glance(payload)
    except Exception:
        return None
