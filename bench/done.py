"""Whether the work that was measured is the work that was meant: a benchmark that did other work, such as rejecting all, has no figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from store.domain.decision_request import DO_NOT_SEND, SEND

Check = Callable[[Mapping[str, int], int], None]
"""(counts, number) -> raises ``RuntimeError`` if what was done with that number is not what was meant."""

DECISIONS = (SEND, DO_NOT_SEND)
NEARLY_ALL = 0.9
"""For loads of which a few do not fit: a change of a number that a restricted record does not tell is none."""
LEAST_SHARE = 0.05
"""Of each decision among the answers: the invented patients permit and refuse in turns."""
MARKS = {decision: f'"decision":"{decision}"'.encode() for decision in DECISIONS}


def require(counts: Mapping[str, int], number: int, outcome: str, share: float = 1.0) -> None:
    """Raises ``RuntimeError`` if fewer than that share of ``number`` had that outcome."""
    if counts.get(outcome, 0) < share * number:
        raise RuntimeError(f"{number:,} should be {outcome}, but there are {listed(counts)}: this would measure other work")


def require_decisions(counts: Mapping[str, int], number: int) -> None:
    """Raises ``RuntimeError`` if not every request was decided, or all were decided alike."""
    if sum(counts.get(one, 0) for one in DECISIONS) != number or min(counts.get(one, 0) for one in DECISIONS) < LEAST_SHARE * number:
        raise RuntimeError(
            f"{number:,} requests should get different decisions, but there are {listed(counts)}: this would measure other work"
        )


def listed(counts: Mapping[str, int]) -> str:
    """What was done, as text."""
    return ", ".join(f"{number:,} {outcome}" for outcome, number in counts.items())


def decisions_in(answer: bytes) -> Counter[str]:
    """How many decisions of each kind an answer of the API has."""
    return Counter({decision: found for decision, mark in MARKS.items() if (found := answer.count(mark))})
