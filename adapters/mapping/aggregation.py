"""How several values of one attribute come to one. Pure.

EMRs keep a preference for each kind of communication, a consent for each number, a code for each repetition of a field; a rule says by
its ``aggregate`` what they mean together:

* ``most_restrictive`` (the default; also written ``any_denied``): one that refuses refuses.
* ``all_denied``: it refuses when every one refuses and permits when every one permits; when they differ nothing is stated of the whole,
  and what was stated before is taken back. With several paths each of them must be there.
* ``first``: the first one found counts, for lists whose order has a meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from store.preference import Statement

MOST_RESTRICTIVE = "most_restrictive"

Aggregate = Callable[[Sequence[Statement], Any], Statement | None]
"""Takes the statements in the order found, at least one, and the attribute's most restrictive value (``None``: it has none)."""


def most_restrictive(statements: Sequence[Statement], worst: Any) -> Statement:
    """The most restrictive, else the first. Where one of several permits and another takes back, nothing is permitted."""
    return statements[0] if worst is None else min(statements, key=lambda one: (one.value != worst, one.value is not None))


def all_denied(statements: Sequence[Statement], worst: Any) -> Statement:
    """The value that all agree on, else a clear."""
    first = statements[0]
    return first if all(one.value == first.value for one in statements) else Statement(None, first.path)


def first(statements: Sequence[Statement], worst: Any) -> Statement:
    """The first."""
    return statements[0]


AGGREGATES: dict[str, Aggregate] = {
    MOST_RESTRICTIVE: most_restrictive,
    "any_denied": most_restrictive,
    "all_denied": all_denied,
    "first": first,
}
