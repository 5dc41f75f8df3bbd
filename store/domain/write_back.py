"""Opt-outs on their way to an EMR: what is written there, and how its echo is recognized. Pure.

Only refusals are written, never permissions. What the EMR then repeats is still the patient's own opt-out: it is no denial by the EMR, or
the patient's START could never end it. An EMR that goes on permitting changes nothing (product rule 5.4).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from store.domain.identifiers import DECIDING, RECORD_ID, KnownIdentifier
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


KEPT = (WriteBackState.WAITING, WriteBackState.SENT, WriteBackState.OWN)
"""The states in which an opt-out that is in force needs no new row."""


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


def by_record(identifiers: Iterable[KnownIdentifier], into: Mapping[int, int | None]) -> dict[int, list[KnownIdentifier]]:
    """The identifiers of each record that a patient was merged from: each is a record of the EMR, written and repeated by itself.

    ``into``: the record that each was merged into. A record known by its record id alone came before the other identifiers of the same
    record of the EMR; it counts as the one that it was merged into, unless that has a record id of the same source.
    """
    found: dict[int, list[KnownIdentifier]] = {}
    for one in identifiers:
        if one.kind in DECIDING:
            found.setdefault(one.origin, []).append(one)
    for record in sorted(found):
        survivor = into.get(record)
        if survivor in found and _is_record_id_of(found[record], found[survivor]):
            found[survivor] += found.pop(record)
    return found


def _is_record_id_of(merged: Iterable[KnownIdentifier], survivor: Iterable[KnownIdentifier]) -> bool:
    ids = {one.authority.casefold() for one in survivor if one.type.casefold() == RECORD_ID}
    return all(one.type.casefold() == RECORD_ID and one.authority.casefold() not in ids for one in merged)


def without_row(patient: int, records: Sequence[int], states: Mapping[int, str]) -> list[int]:
    """The records that an opt-out was never to be written into. None if it was for the patient: a later merge writes nothing again."""
    return [] if patient in states else [record for record in records if record not in states]


def to_write(patient: int, records: Sequence[int], states: Mapping[int, str]) -> list[int]:
    """The records that an opt-out must be written into now. ``states``: of the rows that there are."""
    is_new = states.get(patient) not in KEPT
    return [record for record in records if (is_new if record not in states else states[record] not in KEPT)]
