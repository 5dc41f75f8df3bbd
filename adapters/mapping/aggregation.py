"""Combines several values of one attribute into one. Pure.

EMRs keep a preference per kind of communication, a consent per number, or a code per repetition of a field. The ``aggregate`` of a rule
defines the combined value:

* ``most_restrictive`` (the default; also ``any_denied``): one refusal is enough to refuse.
* ``all_denied``: refuses if all values refuse, permits if all permit. If they differ, nothing is stated and an earlier statement is
  cleared. If the rule has several paths, each must have a value.
* ``first``: the first value found counts, for lists whose order has a meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from store.preference import Statement

MOST_RESTRICTIVE = "most_restrictive"

Aggregate = Callable[[Sequence[Statement], Any], Statement | None]
"""Takes at least one statement, in the order found, and the most restrictive value of the attribute (``None`` if it has none)."""


def most_restrictive(statements: Sequence[Statement], worst: Any) -> Statement:
    """The most restrictive statement, else the first. If one permits and another clears, the result clears."""
    if worst is None or len(statements) == 1:
        return statements[0]
    return min(statements, key=lambda one: (one.value != worst, one.value is not None))


def all_denied(statements: Sequence[Statement], worst: Any) -> Statement:
    """The value that all statements share; otherwise a statement that clears the attribute."""
    first = statements[0]
    return first if all(one.value == first.value for one in statements) else Statement(None, first.path)


def first(statements: Sequence[Statement], worst: Any) -> Statement:
    """The first statement."""
    return statements[0]


AGGREGATES: dict[str, Aggregate] = {
    MOST_RESTRICTIVE: most_restrictive,
    "any_denied": most_restrictive,
    "all_denied": all_denied,
    "first": first,
}
