"""The history on the facesheet: before and after, the changes of one message together. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple

from store.domain.enterprise import Enterprise
from store.domain.patient import HistoryEntry
from store.domain.sms_consent import OPT_IN, OPT_OUT, REVIEW
from store.web.pages import labels

RECENT = 40
PEOPLE = ("enterprise", "manager", "staff")
BY_TEXT = "sms:"
"""How the evidence of a change of SMS consent begins. It names no message."""
SMS_CONSENT = "sms_consent"
STATES = {"opted_in": "opted in", "opted_out": "opted out", OPT_IN: "opted in", OPT_OUT: "opted out", REVIEW: "suspended"}


class Change(NamedTuple):
    """One attribute before and after. ``path``: the field of the message. ``before`` is empty where it was not kept."""

    title: str
    before: str
    after: str
    path: str


class Event(NamedTuple):
    """The changes of one message or one action. ``message``: its control id, or the resource and its version."""

    at: datetime
    who: str
    reason: str
    message: str
    changes: tuple[Change, ...]


def timeline(entries: Sequence[HistoryEntry], enterprise: Enterprise) -> list[Event]:
    """The history, newest first. A message that changed the patient in several steps is one event."""
    return [_event(list(lines), enterprise) for _, lines in groupby(entries, key=_together)]


def _together(entry: HistoryEntry) -> tuple[object, ...]:
    message = _message(entry)
    return (message, entry.authority, entry.actor, entry.reason) if message else (entry.seq,)


def _message(entry: HistoryEntry) -> str:
    return "" if entry.evidence_id.startswith(BY_TEXT) else entry.evidence_id


def _event(lines: list[HistoryEntry], enterprise: Enterprise) -> Event:
    first = lines[0]
    who = labels.authority(first.authority, enterprise)
    role, _, name = first.actor.partition(":")
    who = f"{who} ({name})" if role in PEOPLE else who
    return Event(first.at, who, first.reason if not first.reason.startswith(BY_TEXT) else "", _message(first), tuple(map(_change, lines)))


def _change(entry: HistoryEntry) -> Change:
    if entry.attribute == SMS_CONSENT:
        return _consent(entry.before, entry.after)
    before, after = labels.value(entry.attribute, entry.before), labels.value(entry.attribute, entry.after)
    return Change(labels.title(entry.attribute), before, after, entry.path)


def _consent(before: Any, after: Any) -> Change:
    """A change of SMS consent, with its line and numbers (``store.domain.consent_change``). Older entries have only its kind."""
    if not isinstance(after, Mapping):
        return Change(labels.EVENTS[SMS_CONSENT], "", STATES.get(str(after), str(after)), "")
    was, now = STATES[before["state"]], STATES[after["state"]]
    now = "suspended until a person reads the reply" if after["kind"] == REVIEW else now
    numbers = " and ".join(map(labels.number, after["numbers"])) or "any number"
    line = f"from {labels.number(after['line'])}" if after["line"] else "from every line"
    about = f" about {after['topic']}" if after["topic"] else ""
    about += f", {after['category']} messages only" if "category" in after else ""
    return Change(f"Texts {line} to {numbers}{about}", was, f"still {now}" if was == now else now, "")
