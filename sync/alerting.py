"""Decides what people are told, and when: once when something begins to wait for them, again while it lasts, and when it is over. Pure.

Each target (an address of ``alerts.to``) is told for itself, so that one that cannot be reached neither repeats nor loses what the others
were told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from store.runs.alerts import AlertSubject, SentAlert

FIRST_RETRY, LONGEST_RETRY = timedelta(minutes=1), timedelta(minutes=5)
"""Waits between attempts to deliver: doubled each time. The longest is short enough for readiness to show the failure all the time."""
SAYS = {
    "held_changes": "{number} patient{s} with changes that await review (emr-sync runs)",
    "open_rejections": "{number} open rejection{s} (emr-sync rejections)",
    "replies_to_review": "replies to review: {number} (emr-sync replies)",
    "silent_sources": "no data for longer than its freshness",
    "dead_write_backs": "{number} opt-out{s} that the EMR did not accept (emr-sync write-backs)",
    "disabled_webhooks": "webhook endpoint disabled, {number} message{s} waiting (emr-sync webhooks)",
}


class Word(StrEnum):
    """The beginning of a line."""

    NEW = "new"
    AGAIN = "still"
    OVER = "resolved"


class WaitingCount(NamedTuple):
    """Something that waits for a person now: how many, and since when, where that is known."""

    number: int
    since: datetime | None = None


class Line(NamedTuple):
    """What a target is to be told about one subject."""

    word: Word
    alert: SentAlert
    waiting: WaitingCount | None


class Step(NamedTuple):
    """``lines``: to tell now. ``forget``: what is over before it was told."""

    lines: Sequence[Line]
    forget: Sequence[SentAlert]


def step(
    target: str, sent: Iterable[SentAlert], now_waiting: Mapping[AlertSubject, WaitingCount], now: datetime, repeat: timedelta
) -> Step:
    """What to tell one target, after what it was told before."""
    before = {one.subject: one for one in sent if one.target == target}
    alerts = {subject: before.get(subject) or SentAlert(target, subject, now) for subject in now_waiting}
    lines = [_line(alerts[subject], waiting, now, repeat) for subject, waiting in now_waiting.items()]
    over = [one for subject, one in before.items() if subject not in now_waiting]
    lines += [Line(Word.OVER, one, None) for one in over if one.told and _may_try(one, now)]
    return Step([one for one in lines if one], [one for one in over if not one.told])


def tried(lines: Iterable[Line], now: datetime) -> list[SentAlert]:
    """The alerts of these lines as they are while they are being delivered: no other process does the same."""
    return [line.alert._replace(tried=now, attempts=line.alert.attempts + 1) for line in lines]


def delivered(lines: Iterable[Line], now: datetime) -> tuple[list[SentAlert], list[SentAlert]]:
    """The alerts to keep and to forget, once the target has accepted these lines."""
    kept = [line.alert._replace(told=now, tried=now, attempts=0) for line in lines if line.word != Word.OVER]
    return kept, [line.alert for line in lines if line.word == Word.OVER]


def message(lines: Sequence[Line]) -> tuple[str, str]:
    """Title and text. They name enterprises, sources and numbers, and nothing of a patient."""
    counts = [f"{number} {word}" for word in Word if (number := sum(line.word == word for line in lines))]
    return f"emr-sync: {', '.join(counts)}", "\n".join(map(_text, lines))


def _line(alert: SentAlert, waiting: WaitingCount, now: datetime, repeat: timedelta) -> Line | None:
    if not _may_try(alert, now) or (alert.told is not None and now - alert.told < repeat):
        return None
    return Line(Word.NEW if alert.told is None else Word.AGAIN, alert, waiting)


def _may_try(alert: SentAlert, now: datetime) -> bool:
    """Whether the wait after a failed attempt is over. An attempt of a process that died counts as failed."""
    if alert.tried is None or not alert.attempts:
        return True
    wait: timedelta = FIRST_RETRY * 2 ** min(alert.attempts - 1, 10)
    return now - alert.tried >= min(wait, LONGEST_RETRY)


def _text(line: Line) -> str:
    subject, number = line.alert.subject, line.waiting.number if line.waiting else ""
    whose = ", ".join(name for name in (subject.enterprise, subject.source) if name)
    what = SAYS[subject.kind].format(number=number, s="" if number == 1 else "s") if line.waiting else subject.kind.replace("_", " ")
    since = line.waiting.since if line.waiting else None
    return f"{line.word}: {whose}: {what}" + (f", since {since:%Y-%m-%d %H:%M} UTC" if since else "")
