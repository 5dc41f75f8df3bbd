"""Which patients an opt-out binds. Pure (product section 6). A number may also be an e-mail address.

A STOP is the patient's statement about a line. It binds every patient who had the number at that time, and remains when the EMR removes
or replaces the number. START from that number ends it, or START from a number that only this patient has.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from store.domain.message_class import UNKNOWN
from store.domain.sms_consent import ConsentEvent, Events, OptOut, active, add, is_about

NO_NUMBER = ""
"""The number of a binding for a patient who had none."""


class OptOutBinding(NamedTuple):
    """The consent events of one number that bind one patient, since ``bound``.

    ``seq`` is 0 until it is written; ``origin`` is the record that had the number.
    """

    seq: int
    patient: int
    number: str
    origin: int
    events: Events
    bound: datetime


AddEvent = Callable[[Events, ConsentEvent], Events]
"""How an event joins those before it: one of the ``add`` functions of ``store.domain.sms_consent``."""


def speakers(number: str, owners: Collection[int], bound: Iterable[OptOutBinding]) -> set[int]:
    """The patients that a text from ``number`` is from: all who have it; if nobody has it now, those it bound before.

    A number that now belongs to somebody else says nothing about those who had it before.
    """
    return set(owners) or {one.patient for one in bound if one.number == number}


def bind(
    opt_out: ConsentEvent,
    patients: Iterable[int],
    bound: Collection[OptOutBinding],
    add_event: AddEvent,
    known: Iterable[ConsentEvent],
    now: datetime,
) -> list[OptOutBinding]:
    """The bindings that an opt-out changes, and a new one for each patient not yet bound by the number.

    ``known``: the events of the number before. An opt-in of a later time makes the opt-out history.
    """
    changed = [one._replace(events=add_event(one.events, opt_out)) for one in _of(bound, opt_out.number, patients)]
    events = add_event(tuple(one for one in known if not one.opted_out), opt_out)
    new = set(patients) - {one.patient for one in changed} if active(events) else ()
    return [*changed, *(OptOutBinding(0, patient, opt_out.number, patient, events, now) for patient in sorted(new))]


def release(opt_in: ConsentEvent, patients: Iterable[int], bound: Collection[OptOutBinding], add_event: AddEvent) -> list[OptOutBinding]:
    """The bindings of these patients after an opt-in to its channel."""
    owners = set(patients)
    found = [one for one in bound if one.patient in owners and any(event.channel == opt_in.channel for event in one.events)]
    return [one._replace(events=add_event(one.events, opt_in._replace(number=one.number))) for one in found]


def unbound(events: Iterable[ConsentEvent], bound: Iterable[OptOutBinding]) -> Events:
    """The opt-outs of a number that bind nobody: they came when nobody had it. A patient who gets it and loses it again keeps them."""
    taken = {_identity(event) for one in bound for event in one.events}
    return tuple(one for one in opted_out(events) if _identity(one) not in taken)


def opted_out(events: Iterable[ConsentEvent]) -> Events:
    """The events of opt-outs in force, with those that except a line from them."""
    every = tuple(events)
    refused = active(every)
    return tuple(one for one in every if any(is_about(one, opt_out) for opt_out in refused))


def joined(events: Events, more: Iterable[ConsentEvent]) -> Events:
    """Both, the newest of each kind."""
    for event in more:
        events = add(events, event)
    return events


def in_force(by_number: Iterable[OptOut], bound: Iterable[OptOut]) -> tuple[OptOut, ...]:
    """The opt-outs in force for a patient: of their numbers, and those that bind them; each once, by number."""
    found: dict[tuple[object, ...], OptOut] = {}
    for one in (*by_number, *bound):
        found.setdefault((*one._replace(at=None, in_reply_to=UNKNOWN), one.in_reply_to.category), one)
    return tuple(sorted(found.values(), key=_order))


class PartedOptOuts(NamedTuple):
    """The bindings that an unmerge gives back (``moved``), and those that also hold for the other record."""

    moved: list[OptOutBinding]
    also_there: list[OptOutBinding]
    also_here: list[OptOutBinding]


def parted(
    bound: Iterable[OptOutBinding], *, merged: Collection[int], since: datetime, listed: Mapping[bool, Collection[str]]
) -> PartedOptOuts:
    """Parts a survivor's bindings for an unmerge. ``merged``: the records that leave; ``since``: the merge.

    Each record keeps its own. A binding made while the two were one goes to the record that has the number afterwards (``listed``:
    ``False`` the survivor's numbers, ``True`` the other's), or to both if that cannot be told. A record that has the number of the other's
    opt-out may have repeated it while they were one: it holds for that record too.
    """
    found = PartedOptOuts([], [], [])
    for one in bound:
        here, there, is_new = one.number in listed[False], one.number in listed[True], one.bound >= since
        if one.origin in merged or (is_new and there and not here):
            found.moved.append(one)
            if here:
                found.also_here.append(one)
        elif there or (is_new and not here):
            found.also_there.append(one)
    return found


def _of(bound: Iterable[OptOutBinding], number: str, patients: Iterable[int]) -> list[OptOutBinding]:
    owners = set(patients)
    return [one for one in bound if one.number == number and one.patient in owners]


def _identity(one: ConsentEvent) -> tuple[object, ...]:
    return one.line, one.authority, one.topic, one.channel, one.at, one.in_reply_to.category


def _order(one: OptOut) -> tuple[str, ...]:
    category, lines = one.category or "", ",".join(one.except_lines)
    return one.number, one.channel, one.line or "", one.topic or "", one.authority, str(one.at), lines, category
