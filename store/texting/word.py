"""What was last said about texting a number, and the opt-outs that stand for it. Pure.

The newest word of each authority, line and topic counts, whatever the order they arrive in: a START cannot lift a STOP that
was sent after it, and a STOP that arrives after a newer START of its line is history. At the same instant an opt-out wins.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from store.consent import ALL_LINES, LINE, OPT_OUT, REVIEW, OptOut, Recognised
from store.preference import PATIENT


class Word(NamedTuple):
    """One authority's word about one number on one line (``None``: all lines), opt-out or opt-in.

    The authority ``review`` speaks for a reply that a person has not looked at yet.
    """

    number: str
    line: str | None
    authority: str
    opted_out: bool
    at: datetime
    scope: str = LINE
    topic: str | None = None


def replied(said: Recognised, line: str, number: str, at: datetime) -> Word:
    """The word of a patient who replied; an unclear reply counts as an opt-out until a person looks."""
    where = None if said.scope == ALL_LINES else line
    authority = REVIEW if said.kind == REVIEW else PATIENT
    return Word(number, where, authority, said.kind in (OPT_OUT, REVIEW), at, said.scope or LINE)


def received(words: tuple[Word, ...], word: Word) -> tuple[Word, ...]:
    """The words with one of the patient's. A clear opt-in answers what was unclear before it."""
    if word.authority == PATIENT and not word.opted_out:
        words = _settled(words, word)
    return heard(words, word)


def heard(words: tuple[Word, ...], word: Word) -> tuple[Word, ...]:
    """The words with one more; the same tuple again when it is no news."""
    for old in words:
        if (old.number, old.line, old.authority, old.topic) == (word.number, word.line, word.authority, word.topic):
            if (old.at, old.opted_out) >= (word.at, word.opted_out):
                return words
            return (*(one for one in words if one is not old), word)
    return (*words, word)


def recorded(words: tuple[Word, ...], word: Word) -> tuple[Word, ...]:
    """The words with one that staff recorded. What staff record twice stands since the first time.

    An opt-in that staff record is the patient's word too, given through them: it lifts the patient's own opt-outs, and staff's.
    """
    if not word.opted_out:
        return heard(heard(_settled(words, word), word), word._replace(authority=PATIENT))
    key = (word.number, word.line, word.authority, word.topic, ())
    stands = any((one.number, one.line, one.authority, one.topic, one.except_lines) == key for one in standing(words))
    return words if stands else heard(words, word)


def standing(words: Iterable[Word]) -> tuple[OptOut, ...]:
    """The opt-outs in force. A later opt-in to one line makes an exception of it in the same authority's word for all lines.

    One to all lines, which only staff can record, also lifts what was said before it about a single line.
    """
    said = tuple(words)
    everywhere = tuple(one for one in said if one.line is None and not one.opted_out)
    return tuple(_opt_out(word, said) for word in said if word.opted_out and not any(_lifts(one, word) for one in everywhere))


def _settled(words: tuple[Word, ...], word: Word) -> tuple[Word, ...]:
    """Where an unclear reply waits for a person, a clear opt-in counts against it as well."""
    if all(one.authority != REVIEW for one in words):
        return words
    return heard(words, word._replace(authority=REVIEW))


def _opt_out(word: Word, said: tuple[Word, ...]) -> OptOut:
    excepted = sorted(one.line for one in said if one.line is not None and word.line is None and _lifts(one, word))
    return OptOut(word.line, word.number, word.scope, word.topic, word.authority, word.at, tuple(excepted))


def _lifts(one: Word, word: Word) -> bool:
    """Whether one word is a later opt-in by the same authority about the same; their lines are for the caller to look at."""
    same = (one.number, one.authority, one.topic) == (word.number, word.authority, word.topic)
    return same and not one.opted_out and one.at > word.at
