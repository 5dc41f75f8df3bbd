"""Whom an opt-out binds. Pure (product rule 6).

A STOP is the patient's word about a line. It binds every patient who had the number then, and stays with them when the EMR removes or
replaces the number. START from that number ends it, or START from a number that only this patient has.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from store.domain.sms_consent import OptOut, Word, heard, standing

NO_NUMBER = ""
"""What is bound for a patient who had no number."""


class Bound(NamedTuple):
    """What one patient is bound by. ``seq`` is 0 until it is written; ``origin`` is the record it was said of."""

    seq: int
    patient: int
    number: str
    origin: int
    words: tuple[Word, ...]
    bound: datetime


Hear = Callable[[tuple[Word, ...], Word], tuple[Word, ...]]
"""How a word joins those before it: ``store.domain.sms_consent.received`` or ``recorded``."""


def speakers(number: str, owners: Collection[int], bound: Iterable[Bound]) -> set[int]:
    """Who speaks when ``number`` does: all who have it; where nobody has it any more, those whom it bound before.

    Somebody else's number by now says nothing about those who had it before.
    """
    return set(owners) or {one.patient for one in bound if one.number == number}


def bind(word: Word, patients: Iterable[int], bound: Collection[Bound], hear: Hear, said: Iterable[Word], now: datetime) -> list[Bound]:
    """The bindings that an opt-out changes or makes, one for each patient who is not bound by the number yet.

    ``said`` is what was said about the number before: an opt-in of a later time makes the opt-out history.
    """
    changed = [one._replace(words=hear(one.words, word)) for one in _of(bound, word.number, patients)]
    words = hear(tuple(one for one in said if not one.opted_out), word)
    new = set(patients) - {one.patient for one in changed} if standing(words) else ()
    return [*changed, *(Bound(0, patient, word.number, patient, words, now) for patient in sorted(new))]


def release(word: Word, patients: Iterable[int], bound: Collection[Bound], hear: Hear, also: Callable[[Bound], bool]) -> list[Bound]:
    """The bindings as an opt-in leaves them: those by its own number, and the others for which ``also`` says so."""
    mine = set(patients)
    found = [one for one in bound if one.patient in mine and (one.number == word.number or also(one))]
    return [one._replace(words=hear(one.words, word._replace(number=one.number))) for one in found]


def leaving(words: Iterable[Word], bound: Iterable[Bound]) -> tuple[Word, ...]:
    """The opt-outs of a number that bind nobody: they were said when nobody had it. Whoever gets it and loses it again keeps them."""
    taken = {(word.line, word.authority, word.topic, word.at) for one in bound for word in one.words}
    return tuple(one for one in opted_out(words) if (one.line, one.authority, one.topic, one.at) not in taken)


def opted_out(words: Iterable[Word]) -> tuple[Word, ...]:
    """The words in which something is refused now, with those that except a line from it."""
    said = tuple(words)
    refused = {(one.number, one.authority, one.topic) for one in standing(said)}
    return tuple(one for one in said if (one.number, one.authority, one.topic) in refused)


def joined(words: tuple[Word, ...], more: Iterable[Word]) -> tuple[Word, ...]:
    """Both, the newest of each kind."""
    for word in more:
        words = heard(words, word)
    return words


def in_force(by_number: Iterable[OptOut], bound: Iterable[OptOut]) -> tuple[OptOut, ...]:
    """What holds for a patient: the opt-outs of their numbers, and those that they are bound by; each once, by number."""
    found: dict[tuple[object, ...], OptOut] = {}
    for one in (*by_number, *bound):
        found.setdefault((one.number, one.line, one.scope, one.topic, one.authority, one.except_lines), one)
    return tuple(sorted(found.values(), key=_order))


class PartedOptOuts(NamedTuple):
    """What an undone merge gives back (``moved``), and what is to hold for the other record as well."""

    moved: list[Bound]
    also_there: list[Bound]
    also_here: list[Bound]


def parted(bound: Iterable[Bound], *, merged: Collection[int], since: datetime, listed: Mapping[bool, Collection[str]]) -> PartedOptOuts:
    """What becomes of a survivor's bindings when a merge is undone. ``merged`` are the records that leave; ``since`` is the merge.

    Each record keeps its own. What was bound while the two were one is the record's that has the number afterwards (``listed``: ``False``
    the survivor's numbers, ``True`` the other's), or holds for both where that does not tell. A record that has the number of the
    other's opt-out may have repeated it while they were one: it holds for that record too.
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


def _of(bound: Iterable[Bound], number: str, patients: Iterable[int]) -> list[Bound]:
    mine = set(patients)
    return [one for one in bound if one.number == number and one.patient in mine]


def _order(one: OptOut) -> tuple[str, ...]:
    return one.number, one.line or "", one.topic or "", one.authority, str(one.at), ",".join(one.except_lines)
