"""Reads payloads, except those that came before, byte for byte, and are still in force: these are only recognized.

A record that a source sends again unchanged costs a glance instead of being mapped. Whether it repeats what is known is found in the
transaction that commits it (``store.patients.apply``). If not, that transaction changes nothing, and the record is read after all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from adapters.base import IngestResult, Mapper, Payload, Recognizes
from store.preference import PatientStatements, RecordOutcome
from sync.intake import Piece, read

LEAST_REPEATED = 0.5
"""The share of a group that must repeat what is known for a glance at the next one to be worth its time. In a first load none does."""


@dataclass(slots=True)
class PayloadReader:
    """How the payloads of one source are read."""

    mapper: Mapper
    is_worth_it: bool = True

    def pieces(self, payloads: Iterable[Payload]) -> Iterator[Piece]:
        """The pieces of all payloads, in order. Call :meth:`learn` after each commit."""
        mapper = self.mapper if isinstance(self.mapper, Recognizes) else None
        for payload in payloads:
            found = _glance(mapper, payload) if mapper and self.is_worth_it else None
            yield from read(self.mapper, payload) if found is None else [Piece(found, payload.body, partial(read, self.mapper, payload))]

    def learn(self, answers: Sequence[IngestResult]) -> None:
        """Looks at what became of a group."""
        repeated = sum(answer.outcome == RecordOutcome.UNCHANGED for answer in answers)
        self.is_worth_it = repeated >= LEAST_REPEATED * len(answers)


def _glance(mapper: Recognizes, payload: Payload) -> PatientStatements | None:
    """A mapper should not raise; if it does, the payload is read, and that tells what is wrong with it."""
    try:
        return mapper.glance(payload)
    except Exception:
        return None
