"""Patients' own consent: the events of an address, the opt-outs in force, what they forbid, and how a reply is answered. Pure.

Consent to be texted is held per line (the sender's own number) and phone number; no EMR locks it (product section 6). An opt-out from
calls is held per phone number, one from e-mail per address; neither has a line.
``store.domain.reply_recognition`` classifies a reply; ``store.domain.opt_out_binding`` decides which patients it binds.

The newest event of each authority, line and topic counts, in whatever order they arrive: a START cannot lift a STOP that was sent after
it, and a STOP that arrives after a newer START of its line is history. At the same instant an opt-out wins. A START undoes the patient's
own STOP only: a denial by staff or by the EMR remains (product rule 5.4).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple

from store.domain.contact import ContactPreferences
from store.domain.message_class import INFORMATIONAL, MARKETING, UNKNOWN, MessageClass
from store.preference import DENIED, PATIENT, STAFF, Channel

OPT_OUT = "opt_out"
OPT_IN = "opt_in"
REVIEW = "review"
"""A reply that may mean an opt-out; also the authority of its event until a person decides it."""

APPOINTMENT_CANCEL = "appointment_cancel"
"""What a bare CANCEL may also mean: it opts out, and staff look whether the patient meant the appointment."""

SMS = str(Channel.SMS)

LINE = "line"
ALL_LINES = "all_lines"
TOPIC = "topic"
CATEGORY = "category"
"""Messages of the category of the one that was answered, from every line; of informational ones only those on its topic, if it is known."""
SCOPES = (LINE, ALL_LINES, TOPIC, CATEGORY)

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
    """One opt-out in force, from one ``channel``.

    ``line`` is ``None`` for all lines but ``except_lines`` (where the patient sent START since). ``number`` is E.164, empty if staff
    recorded it for a patient who had none; for e-mail it is the address in lower case. ``scope`` is one of :data:`SCOPES`; ``topic``
    limits the scopes ``topic`` and ``category``. ``authority`` is ``patient``, ``staff``, or ``review`` for an unclear reply that waits for
    a person. ``in_reply_to`` is the message that it answered.
    """

    line: str | None
    number: str
    scope: str = LINE
    topic: str | None = None
    authority: str = PATIENT
    at: datetime | None = None
    except_lines: tuple[str, ...] = ()
    channel: str = SMS
    in_reply_to: MessageClass = UNKNOWN

    @property
    def category(self) -> str | None:
        """The category that the opt-out is limited to; ``None``: it is not."""
        return category_of(self)


class Recognised(NamedTuple):
    """How a reply was classified: ``kind`` is ``opt_out``, ``opt_in``, ``review`` or ``None``."""

    kind: str | None
    scope: str | None


class ReplyOutcome(NamedTuple):
    """The result of a reply. ``confirmation`` is one of :data:`CONFIRMATIONS`; ``patients`` counts those who have the number.

    ``also_maybe``: what the patient may have meant as well, like :data:`APPOINTMENT_CANCEL`.
    """

    kind: str | None
    scope: str | None
    confirmation: str
    patients: int = 0
    also_maybe: tuple[str, ...] = ()


def blocks(opt_out: OptOut, line: str | None, topic: str | None, channel: str = SMS, category: str | None = None) -> bool:
    """Whether it forbids a message about ``topic`` of a ``category`` from ``line``. An ask without one of them is blocked by any of them.

    An opt-out in reply to marketing ends marketing from every line.
    """
    if opt_out.channel != channel:
        return False
    if opt_out.topic is not None and topic is not None:
        if opt_out.topic != topic:
            return False
    elif category is not None and opt_out.category not in (None, category):
        return False
    if opt_out.line is None:
        return line is None or line not in opt_out.except_lines
    return (
        line is None or opt_out.line == line or (is_marketing(opt_out) and category != INFORMATIONAL and line not in opt_out.except_lines)
    )


def outcome(reply: Recognised, before: Collection[OptOut], now: Collection[OptOut], line: str, *, patients: int = 0) -> ReplyOutcome:
    """The result of a reply. A change gets one confirmation; a repeated STOP gets none."""
    return ReplyOutcome(reply.kind, reply.scope, _confirmation(reply, before, now, line), patients)


def by_staff(numbers: Iterable[str], line: str | None, at: datetime, topic: str | None = None) -> tuple[OptOut, ...]:
    """The opt-outs that staff record for a patient's numbers; ``line`` ``None`` is every line, ``topic`` ``None`` every topic."""
    scope = TOPIC if topic is not None else ALL_LINES if line is None else LINE
    return tuple(OptOut(line, number, scope, topic, STAFF, at) for number in numbers)


def of_texts(opt_outs: Iterable[OptOut]) -> tuple[OptOut, ...]:
    """The opt-outs from texts."""
    return tuple(one for one in opt_outs if one.channel == SMS)


def opted_out_numbers(contact: ContactPreferences, opt_outs: Iterable[OptOut]) -> tuple[str, ...]:
    """The numbers opted out on some line by any authority, also those no longer on file; sorted."""
    numbers = {one.number for one in of_texts(opt_outs) if one.scope != TOPIC and one.number}
    on_file = {phone.number for phone in contact.phones}
    if contact.consents.get("sms") == DENIED:
        return tuple(sorted(numbers | on_file))
    return tuple(sorted(numbers | {number for number in on_file if contact.consents.get(f"sms#{number}") == DENIED}))


def display(contact: ContactPreferences, opt_outs: Iterable[OptOut]) -> str:
    """The text on the facesheet: ``Opted In`` or ``Opted Out of N numbers``."""
    opt_outs = of_texts(opt_outs)
    count = len(opted_out_numbers(contact, opt_outs))
    if not count and contact.consents.get("sms") != DENIED and all(one.scope == TOPIC for one in opt_outs):
        return "Opted In"
    return f"Opted Out of {count} number{'' if count == 1 else 's'}"


def _confirmation(reply: Recognised, before: Collection[OptOut], now: Collection[OptOut], line: str) -> str:
    if reply.kind == OPT_OUT:
        return OPT_OUT_CONFIRMED if _closed(now, line) != _closed(before, line) else NO_CONFIRMATION
    if reply.kind != OPT_IN:
        return NO_CONFIRMATION
    if any(blocks(one, line, None) for one in now):
        return STILL_OPTED_OUT
    return OPT_IN_CONFIRMED if _closed(now, line) != _closed(before, line) else NO_CONFIRMATION


def _closed(opt_outs: Iterable[OptOut], line: str) -> set[tuple[object, ...]]:
    """What the patient's own opt-outs close: this line, and all lines but the exceptions; of some categories, or of all."""
    own = [one for one in opt_outs if one.authority == PATIENT and one.scope != TOPIC]
    everything = [one for one in own if one.scope != CATEGORY]
    closed: set[tuple[object, ...]] = {("line",) for one in everything if blocks(one, line, None)}
    closed |= {("all", *one.except_lines) for one in everything if one.line is None}
    categories: set[tuple[object, ...]] = {
        ("category", one.category, one.topic) for one in own if one.scope == CATEGORY and blocks(one, line, None)
    }
    return closed or categories


class ConsentEvent(NamedTuple):
    """An opt-out or opt-in by one authority, for one number or e-mail address on one line (``None``: all lines).

    The authority ``review`` stands for a reply that a person has not decided yet.
    """

    number: str
    line: str | None
    authority: str
    opted_out: bool
    at: datetime
    scope: str = LINE
    topic: str | None = None
    channel: str = SMS
    in_reply_to: MessageClass = UNKNOWN


Events = tuple[ConsentEvent, ...]
"""The events of one address, or of one patient's binding to it: the newest of each authority, line, topic and channel."""


def of_reply(reply: Recognised, line: str, number: str, at: datetime, answered: MessageClass = UNKNOWN) -> ConsentEvent:
    """The event of a patient's reply; an unclear reply counts as an opt-out until a person decides it."""
    where = None if reply.scope in (ALL_LINES, CATEGORY) else line
    authority, is_opt_out = REVIEW if reply.kind == REVIEW else PATIENT, reply.kind in (OPT_OUT, REVIEW)
    topic = answered.topic if reply.scope == CATEGORY and answered.category == INFORMATIONAL else None
    return ConsentEvent(
        number, where, authority, is_opt_out, at, reply.scope or LINE, topic, in_reply_to=answered if is_opt_out else UNKNOWN
    )


def add(events: Events, new: ConsentEvent) -> Events:
    """The events with one more; the same tuple if it changes nothing."""
    for old in events:
        if _subject(old) == _subject(new) and old.line == new.line:
            kept = _newest(old, new)
            return events if kept == old else (*(one for one in events if one is not old), kept)
    return (*events, new)


def add_reply(events: Events, new: ConsentEvent) -> Events:
    """The events with a patient's reply. A clear opt-in also ends an unclear reply before it."""
    if new.authority == PATIENT and not new.opted_out:
        events = _ending_unclear(events, new)
    return add(events, new)


def add_by_staff(events: Events, new: ConsentEvent) -> Events:
    """The events with one that staff recorded. An opt-out recorded twice keeps its first time.

    An opt-in that staff record was given by the patient through them: it lifts the patient's own opt-outs and staff's.
    """
    if not new.opted_out:
        return add(add(_ending_unclear(events, new), new), new._replace(authority=PATIENT))
    is_known = any(_subject(one) == _subject(new) and one.line == new.line and not one.except_lines for one in active(events))
    return events if is_known else add(events, new)


def active(events: Iterable[ConsentEvent]) -> tuple[OptOut, ...]:
    """The opt-outs in force. A later opt-in to one line makes it an exception of the same authority's opt-out from all lines.

    An opt-in to all lines, which only staff can record, also lifts earlier opt-outs from a single line.
    """
    every = tuple(events)
    everywhere = tuple(one for one in every if one.line is None and not one.opted_out)
    return tuple(_opt_out(event, every) for event in every if event.opted_out and not any(_lifts(one, event) for one in everywhere))


def is_marketing(one: ConsentEvent | OptOut) -> bool:
    """Whether an opt-out answered marketing."""
    return one.in_reply_to.category == MARKETING


def ends_everything(one: OptOut) -> bool:
    """Whether an opt-out is from the whole channel: every line, topic and category."""
    return one.line is None and not one.except_lines and one.topic is None and one.category is None


def _newest(old: ConsentEvent, new: ConsentEvent) -> ConsentEvent:
    """The newer of two events. Of two opt-outs, it ends marketing if one of them did."""
    kept = old if (old.at, old.opted_out) >= (new.at, new.opted_out) else new
    answered = next((one.in_reply_to for one in (kept, old, new) if is_marketing(one)), kept.in_reply_to)
    return kept._replace(in_reply_to=answered) if old.opted_out and new.opted_out else kept


def _ending_unclear(events: Events, opt_in: ConsentEvent) -> Events:
    """If an unclear reply waits for a person, a clear opt-in counts against it as well."""
    if all(one.authority != REVIEW for one in events):
        return events
    return add(events, opt_in._replace(authority=REVIEW))


def _opt_out(event: ConsentEvent, every: Events) -> OptOut:
    reaches_all_lines, channel = event.line is None or is_marketing(event), event.channel
    lines = tuple(sorted(one.line for one in every if one.line is not None and reaches_all_lines and _lifts(one, event)))
    return OptOut(event.line, event.number, event.scope, event.topic, event.authority, event.at, lines, channel, event.in_reply_to)


def is_about(one: ConsentEvent, opt_out: ConsentEvent | OptOut) -> bool:
    """Whether an event is by the authority of an opt-out and about the same. A START is about every category."""
    own, subject = _subject(one), _subject(opt_out)
    return own == subject or (opt_out.scope == CATEGORY and own == subject._replace(topic=None, category=None))


def _lifts(one: ConsentEvent, opt_out: ConsentEvent) -> bool:
    """Whether an event is a later opt-in by the same authority about the same. Lines are for the caller to compare."""
    return not one.opted_out and is_about(one, opt_out) and one.at > opt_out.at


class _Subject(NamedTuple):
    number: str
    authority: str
    topic: str | None
    channel: str
    category: str | None


def _subject(one: ConsentEvent | OptOut) -> _Subject:
    return _Subject(one.number, one.authority, one.topic, one.channel, category_of(one))


def category_of(one: ConsentEvent | OptOut) -> str | None:
    """The category that an opt-out is limited to; ``None``: it is not."""
    return one.in_reply_to.category if one.scope == CATEGORY else None
