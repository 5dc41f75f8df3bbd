"""A change of consent by an opt-out or opt-in as the history keeps it: before and after, with the line and the numbers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from store.domain.sms_consent import CATEGORY, OPT_IN, ConsentEvent, OptOut, category_of

OPTED_IN, OPTED_OUT = "opted_in", "opted_out"


def documented(
    kind: str, event: ConsentEvent, numbers: Sequence[str], before: Iterable[OptOut], after: Iterable[OptOut]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values before and after. ``kind``: ``opt_out``, ``opt_in`` or ``review``. ``line`` and ``topic`` are ``None`` for all of them.

    ``before`` and ``after`` are the opt-outs in force of the numbers. If several numbers differ, one that is opted in counts.
    """
    where = {"line": event.line, "topic": event.topic, "numbers": list(numbers)}
    where |= {"category": category_of(event)} if event.scope == CATEGORY else {}
    return {"state": _state(event, before, numbers)}, {"state": _state(event, after, numbers), "kind": kind, **where}


def lifted(numbers: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values before and after all opt-outs of these numbers or addresses ended, on whatever line and topic."""
    return {"state": OPTED_OUT}, {"state": OPTED_IN, "kind": OPT_IN, "line": None, "topic": None, "numbers": list(numbers)}


def _state(event: ConsentEvent, opt_outs: Iterable[OptOut], numbers: Sequence[str]) -> str:
    covered = {one.number for one in opt_outs if _covers(one, event)}
    return OPTED_OUT if covered and covered >= set(numbers) else OPTED_IN


def _covers(one: OptOut, event: ConsentEvent) -> bool:
    """Whether an opt-out is of the channel of an event and at least as wide: its line or all lines, its topic or all topics."""
    is_of_line = one.line == event.line or (one.line is None and event.line not in one.except_lines)
    return is_of_line and one.channel == event.channel and one.topic in (None, event.topic) and one.category in (None, category_of(event))
