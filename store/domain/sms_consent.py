"""SMS consent: what an opt-out is, what it forbids, and how a reply is answered. Pure.

Consent to be texted is held per line (the sender's own number) and phone number; no EMR locks it (product rule 6).
What a reply means is in ``store.domain.reply_recognition``; whom it binds, in ``store.domain.opt_out_binding``.

What ``START`` may undo is the patient's own ``STOP``: a denial by staff or by the EMR stands (product rule 5.4).

What was last said about texting a number, and the opt-outs that stand for it. Pure.

The newest word of each authority, line and topic counts, whatever the order they arrive in: a START cannot lift a STOP that
was sent after it, and a STOP that arrives after a newer START of its line is history. At the same instant an opt-out wins.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from store.preference import DENIED, PATIENT, STAFF, ContactPreferences

OPT_OUT = "opt_out"
OPT_IN = "opt_in"
REVIEW = "review"
"""A reply that may mean an opt-out; also who speaks for it (the authority) until a person looks at it."""

LINE = "line"
ALL_LINES = "all_lines"
TOPIC = "topic"
SCOPES = (LINE, ALL_LINES, TOPIC)

OPT_OUT_CONFIRMED = "opt_out_confirmed"
OPT_IN_CONFIRMED = "opt_in_confirmed"
STILL_OPTED_OUT = "still_opted_out"
NO_CONFIRMATION = "none"
CONFIRMATIONS = {
    OPT_OUT_CONFIRMED: "Confirm once that no more texts will be sent, and nothing else (47 CFR 64.1200(a)(12)).",
    OPT_IN_CONFIRMED: "Confirm once that texts will be sent again, and that STOP ends them.",
    STILL_OPTED_OUT: "Tell the patient that a denial recorded by the clinic still applies, and whom to ask.",
    NO_CONFIRMATION: "Send nothing: nothing was recognised, nothing changed, or a person reviews the reply first.",
}


class OptOut(NamedTuple):
    """One standing "do not text me".

    ``line`` is ``None`` for all lines but ``except_lines`` (where the patient said START since). ``number`` is E.164, empty where staff
    recorded it for a patient who had none. ``scope`` is one of :data:`SCOPES`; ``topic`` is set for that scope only. ``authority`` is
    ``patient``, ``staff``, or ``review`` for an unclear reply that waits for a person.
    """

    line: str | None
    number: str
    scope: str = LINE
    topic: str | None = None
    authority: str = PATIENT
    at: datetime | None = None
    except_lines: tuple[str, ...] = ()


class Recognised(NamedTuple):
    """What a reply means by itself: ``kind`` is ``opt_out``, ``opt_in``, ``review`` or ``None``."""

    kind: str | None
    scope: str | None


class ReplyOutcome(NamedTuple):
    """What became of a reply. ``confirmation`` is one of :data:`CONFIRMATIONS`; ``patients`` counts who has the number."""

    kind: str | None
    scope: str | None
    confirmation: str
    patients: int = 0


def widened(said: Recognised, at: datetime, revoke_all_from: date | None, time_zone: str) -> Recognised:
    """An opt-out from one line counts for all lines from the day that the site has chosen, in its time zone."""
    if said.kind not in (OPT_OUT, REVIEW) or revoke_all_from is None or at.astimezone(ZoneInfo(time_zone)).date() < revoke_all_from:
        return said
    return said._replace(scope=ALL_LINES)


def blocks(opt_out: OptOut, line: str | None, topic: str | None) -> bool:
    """Whether it forbids a text about ``topic`` from ``line``. What the ask leaves open is taken so that less is sent."""
    if opt_out.scope == TOPIC and topic is not None and opt_out.topic != topic:
        return False
    if opt_out.line is None:
        return line is None or line not in opt_out.except_lines
    return line is None or opt_out.line == line


def reply(said: Recognised, before: Collection[OptOut], now: Collection[OptOut], line: str, *, patients: int = 0) -> ReplyOutcome:
    """The answer to a reply. One confirmation for what changed; a repeated STOP gets none."""
    return ReplyOutcome(said.kind, said.scope, _confirmation(said, before, now, line), patients)


def by_staff(numbers: Iterable[str], line: str | None, at: datetime, topic: str | None = None) -> tuple[OptOut, ...]:
    """What staff record by hand for all of a patient's numbers; ``line`` ``None`` is every line, ``topic`` ``None`` every topic."""
    scope = TOPIC if topic is not None else ALL_LINES if line is None else LINE
    return tuple(OptOut(line, number, scope, topic, STAFF, at) for number in numbers)


def opted_out_numbers(contact: ContactPreferences, opt_outs: Iterable[OptOut]) -> tuple[str, ...]:
    """The numbers that may not be texted on some line, by anybody's word, also those no longer on file; sorted."""
    said = {one.number for one in opt_outs if one.scope != TOPIC and one.number}
    on_file = {phone.number for phone in contact.phones}
    if contact.consents.get("sms") == DENIED:
        return tuple(sorted(said | on_file))
    return tuple(sorted(said | {number for number in on_file if contact.consents.get(f"sms#{number}") == DENIED}))


def display(contact: ContactPreferences, opt_outs: Iterable[OptOut]) -> str:
    """The words on the facesheet: ``Opted In`` or ``Opted Out of N numbers``."""
    opt_outs = tuple(opt_outs)
    count = len(opted_out_numbers(contact, opt_outs))
    if not count and contact.consents.get("sms") != DENIED and all(one.scope == TOPIC for one in opt_outs):
        return "Opted In"
    return f"Opted Out of {count} number{'' if count == 1 else 's'}"


def _confirmation(said: Recognised, before: Collection[OptOut], now: Collection[OptOut], line: str) -> str:
    if said.kind == OPT_OUT:
        return OPT_OUT_CONFIRMED if _closed(now, line) != _closed(before, line) else NO_CONFIRMATION
    if said.kind != OPT_IN:
        return NO_CONFIRMATION
    if any(blocks(one, line, None) for one in now):
        return STILL_OPTED_OUT
    return OPT_IN_CONFIRMED if _closed(now, line) != _closed(before, line) else NO_CONFIRMATION


def _closed(opt_outs: Iterable[OptOut], line: str) -> set[tuple[object, ...]]:
    """What the patient's own words close: this line, and all lines but the exceptions."""
    own = [one for one in opt_outs if one.authority == PATIENT and one.scope != TOPIC]
    everywhere = {one.except_lines for one in own if one.line is None}
    return {("line",) for one in own if blocks(one, line, None)} | {("all", *excepted) for excepted in everywhere}


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
