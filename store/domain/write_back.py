"""Opt-outs on their way to an EMR: what is written there, and how its echo is recognized. Pure.

Only refusals are written, never permissions. What the EMR then repeats is still the patient's own opt-out: it is no denial by the EMR, or
the patient's START could never end it. An EMR that goes on permitting changes nothing (product rule 5.4).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from store.domain.sms_consent import REVIEW, SMS, ConsentEvent, active, ends_everything
from store.preference import DENIED, Channel, PatientStatements, consent

CHANNELS = (SMS, str(Channel.VOICE), str(Channel.EMAIL))
ATTRIBUTES = tuple(map(consent, CHANNELS))
"""What may be written."""
CLOCKS = timedelta(minutes=1)
"""How far an EMR's clock may be behind ours, so that its echo does not seem older than what we wrote."""


class WriteBackState(StrEnum):
    """How far one opt-out is."""

    WAITING = "waiting"
    SENT = "sent"
    """It was written to the EMR."""
    OWN = "own"
    """The EMR had a denial already, so that is its own."""
    DEAD = "dead"
    """The EMR refused it, or did not take it for too long: a person must act."""
    LIFTED = "lifted"
    """The patient opted in again. Nothing is written for that."""
    CONTRADICTED = "contradicted"
    """The EMR later stated something else. If it denies again after that, the denial is its own."""


class Echo(NamedTuple):
    """What a payload says about opt-outs that were written to its EMR: attributes that it repeats, and that it contradicts."""

    repeated: frozenset[str] = frozenset()
    contradicted: frozenset[str] = frozenset()


def refuses(events: Iterable[ConsentEvent], channel: str) -> bool:
    """Whether an opt-out from the whole channel is in force: from every line, topic and category, and not under review.

    An EMR knows none of these. If a narrower one was written, what the EMR says of its own afterwards would look like its echo, and would
    not count for the rest.
    """
    return any(one.channel == channel and one.authority != REVIEW and ends_everything(one) for one in active(events))


def echo(item: PatientStatements, sent: Mapping[str, datetime], refused: Collection[str]) -> Echo:
    """What a payload repeats or contradicts. ``sent``: attribute -> when its denial was written. Only later statements count.

    ``refused``: the attributes that the patient's own opt-outs refuse now. Without one, a denial is the EMR's own.
    """
    later = {name for name, at in sent.items() if name in item.statements and item.effective.earliest >= at - CLOCKS}
    denied = {name for name in later if item.statements[name].value == DENIED}
    contradicted = frozenset(name for name in later - denied if item.effective.earliest > sent[name] + CLOCKS)
    return Echo(frozenset(denied.intersection(refused) if item.may_be_echo else ()), contradicted)
