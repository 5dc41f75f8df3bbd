"""What the API asks of ``sync``, which it knows nothing of: passed in as plain functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from store.errors import ValueRefused
from store.runs.runs import Run

Many = Sequence[str]
Outcomes = Sequence[Mapping[str, Any]]


class UnmappedCode(NamedTuple):
    """A code that no table of a mapping knows, where it stands, and how many records bear it. Empty: it is not for people to see."""

    path: str
    code: str
    records: int


def _no_codes(source: str, by: str) -> Sequence[UnmappedCode]:
    raise ValueRefused("this process does not read rejections")


def _cannot(*_: object) -> Any:
    raise ValueRefused("this process does not replay rejections")


def _nothing(enterprise: str) -> None:
    """Nothing is ever held for too long."""


@dataclass(frozen=True, slots=True)
class SyncWork:
    """What ``sync`` does on request.

    ``resync(source, by)`` begins a run and returns it, or raises ``RunActive``; ``replay(rejection_id, by)`` maps and applies a
    rejection again and says what became of it; ``expire(enterprise)`` rejects what the safeguard held for too long;
    ``replay_many(ids, by)`` says what became of each, and ``preview(ids)`` what they would change, all together;
    ``codes(source, by)`` tells the codes that no mapping knows, as far as they may be told.
    """

    resync: Callable[[str, str], Run]
    replay: Callable[[str, str], Mapping[str, Any]]
    expire: Callable[[str], object] = _nothing
    replay_many: Callable[[Many, str], Outcomes] = _cannot
    preview: Callable[[Many], Mapping[str, Any]] = _cannot
    codes: Callable[[str, str], Sequence[UnmappedCode]] = _no_codes
