"""Merges, changes of identifier and moves: events with pairs of PID and MRG segments. Pure.

Source: HL7 v2.9 chapter 3 (A40, A43, A47; MRG) and v2.5 chapter 3 (A18, A30, A34, A35, A36: withdrawn in 2.7 but still sent, for
example A34 and A35 by Medhost, github.com/drajer-health/eCRNow issue 541). PID-3 contains the identifiers after the event, MRG-1 those
before it. Demographics in a merge are not read: they arrive in a separate update. Senders also merge a record with itself
(github.com/dcm4che/dcm4chee-arc-light issues 1086 and 4697); such a message is rejected.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from adapters.hl7v2.cx import IdentifierReader, MessageSubject
from adapters.hl7v2.errors import UnusableMessage
from adapters.hl7v2.reader import Message
from store.preference import Identifier, PatientMerge
from store.times import Time

MOST_IN_MESSAGE = 100
"""Each merge is work for two whole records while the enterprise has one writer: a frame of some kilobytes must not keep it for long."""


def merges(
    message: Message, identifiers: IdentifierReader, effective: Time, evidence: str, locator: str, *, renamed: bool = False
) -> list[PatientMerge]:
    """The merges of all pairs of the message. Raises :class:`UnusableMessage` if one pair cannot be used, so that none is applied in part.

    ``renamed`` is for A47: MRG-1 and PID-3 are two identifiers of one record.
    """
    today = effective.latest.date()
    pairs = [_pair(message, pid, mrg, identifiers, today) for pid, mrg in _groups(message)]
    if not pairs:
        raise UnusableMessage("merge_incomplete", "a merge needs a PID and an MRG segment", "MRG")
    found = [PatientMerge(survivor, record, effective, evidence, locator, renamed) for survivor, gone in pairs for record in _records(gone)]
    if len(found) > MOST_IN_MESSAGE:
        detail = f"the message has {len(found)} merges: send at most {MOST_IN_MESSAGE} in one message"
        raise UnusableMessage("too_many_merges", detail, "MRG")
    return found


def moved(message: Message, identifiers: IdentifierReader, today: date) -> tuple[Identifier, ...]:
    """The patient of an A43: the identifiers in both PID-3 and MRG-1. The others are the superior record before and after the move."""
    pairs = list(_groups(message))
    if len(pairs) != 1:
        raise UnusableMessage("move_ambiguous", "a move needs one PID and one MRG segment: send one message per patient", "MRG")
    before = _merged(message, pairs[0][1], identifiers, today)
    same = tuple(one for one in _survivor(message, pairs[0][0], identifiers, today) if one in before)
    if not same:
        detail = "A43 moves one patient, but MRG-1 and PID-3 share no identifier: send A40 or A47 if that is intended"
        raise UnusableMessage("move_ambiguous", detail, "MRG-1")
    return same


def names_two_patients(message: Message, identifiers: IdentifierReader, today: date) -> bool:
    """Whether MRG-1 and PID-3 identify different patients, which is invalid in an account merge (A35)."""
    try:
        return any(
            set(_merged(message, mrg, identifiers, today)).isdisjoint(_survivor(message, pid, identifiers, today))
            for pid, mrg in _groups(message)
        )
    except UnusableMessage:
        return False  # it identifies no patient, so it concerns accounts only


def patients(message: Message) -> list[Message]:
    """One message per PID: the segments before the first PID, and those from this PID to the next."""
    starts = [at for at, line in enumerate(message.lines) if line.startswith("PID")]
    if len(starts) < 2:
        return [message] if starts else []
    head = message.lines[: starts[0]]
    return [message.part(head + message.lines[at:end]) for at, end in zip(starts, (*starts[1:], None), strict=True)]


def _groups(message: Message) -> Iterator[tuple[list[str], list[str]]]:
    pid: list[str] = []
    paired = True
    for line in message.lines:
        if line.startswith("PID"):
            fields = message.fields(line)
            if not paired and is_same_patient(pid, fields):
                continue
            if not paired and any(pid[1:]):
                break
            pid, paired, before = fields, False, pid
            repeated = bool(before) and is_same_patient(before, pid)
        elif line.startswith("MRG"):
            if not pid:
                raise UnusableMessage("merge_incomplete", "an MRG segment comes before any PID segment", "MRG")
            paired = True
            yield pid, message.fields(line)
    if not paired and not repeated:
        raise UnusableMessage("merge_incomplete", "a PID segment of this merge has no MRG segment", "MRG")


def is_same_patient(first: list[str], other: list[str]) -> bool:
    """Whether another PID segment is empty or repeats the first. Its set ID (PID-1) is ignored."""
    return not any(other[2:]) or other[2:] == first[2:]


def are_one(message: Message, pids: Sequence[list[str]], identifiers: IdentifierReader, today: date) -> bool:
    """Whether different PID segments are about one patient: all have the same own identifier."""
    try:
        return len({_survivor(message, pid, identifiers, today)[0] for pid in pids}) == 1
    except UnusableMessage:
        return False


def _pair(
    message: Message, pid: list[str], mrg: list[str], identifiers: IdentifierReader, today: date
) -> tuple[tuple[Identifier, ...], tuple[Identifier, ...]]:
    found, merged = identifiers.of_pid(message, pid, today), _merged(message, mrg, identifiers, today)
    survivor = _surviving(found, merged)
    # An identifier on both sides (a national number) does not identify the retired record.
    retired = tuple(one for one in merged if one not in survivor)
    if not retired:
        raise UnusableMessage("merge_with_itself", "MRG-1 and PID-3 identify the same patient", "MRG-1")
    return survivor, retired


def _surviving(found: MessageSubject, merged: tuple[Identifier, ...]) -> tuple[Identifier, ...]:
    """The survivor's identifiers. PID-3 may also list the retired identifier, even first."""
    staying = [one for one in found.others if one not in merged]
    if found.identifiers[0] in merged and staying:
        return (staying[0], *(one for one in found.identifiers if one not in merged))
    return found.identifiers


def _records(retired: tuple[Identifier, ...]) -> Sequence[tuple[Identifier, ...]]:
    """The retired records in MRG-1. Several identifiers of one authority and type are several records."""
    alike = [one for one in retired if (one.authority, one.type) == (retired[0].authority, retired[0].type)]
    return [retired] if len(alike) == 1 else [(one,) for one in alike]


def _survivor(message: Message, pid: list[str], identifiers: IdentifierReader, today: date) -> tuple[Identifier, ...]:
    return identifiers.of_pid(message, pid, today).identifiers


def _merged(message: Message, mrg: list[str], identifiers: IdentifierReader, today: date) -> tuple[Identifier, ...]:
    found = identifiers.of_mrg(message, mrg, today)
    return (*found.identifiers, *found.others)
