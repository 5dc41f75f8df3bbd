"""Sequence numbers (MSH-13, MSA-4): the check alone, and over a socket."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from adapters.base import Unmappable
from adapters.hl7v2.client import MllpClient
from adapters.hl7v2.delivery import LAST_NUMBER
from adapters.hl7v2.mllp import MllpListener
from adapters.hl7v2.reader import read
from adapters.hl7v2.sequence import NONE_YET, SequenceCheck, check_sequence, number
from adapters.notes import InMemoryNotes
from tests.adapters.hl7v2.messages import adt
from tests.adapters.hl7v2.test_mllp import WAIT, Keeper, listening, sender


@pytest.mark.parametrize(
    ("sent", "last", "answer"),
    [
        (1, None, SequenceCheck(True, 1, 2)),
        (7, None, SequenceCheck(True, 7, 8)),  # the link is new: any number starts it
        (8, 7, SequenceCheck(True, 8, 9)),
        (7, 7, SequenceCheck(True, 7, 8)),  # the acknowledgement was lost
        (9, 7, SequenceCheck(False, 7, 8)),
        (6, 7, SequenceCheck(False, 7, 8)),
        (0, 7, SequenceCheck(True, 7, 8)),
        (0, None, SequenceCheck(True, None, NONE_YET)),
        (-1, 7, SequenceCheck(True, None, NONE_YET)),
        (None, 7, SequenceCheck(True, 7, None)),
    ],
)
def test_only_the_expected_number_is_accepted(sent: int | None, last: int | None, answer: SequenceCheck) -> None:
    assert check_sequence(sent, last) == answer


@pytest.mark.parametrize(("text", "found"), [("", None), ("12", 12), (" 0 ", 0), ("-1", -1), ("x", None)])
def test_msh_13_is_read_as_a_number(text: str, found: int | None) -> None:
    assert number(text) == found


def numbered(sequence: int | str) -> bytes:
    return adt(header=f"MSH|^~\\&|A|B|C|D|2026||ADT^A08|S{sequence}|P|2.5|{sequence}")


@contextmanager
def agreed(keeper: Keeper, notes: InMemoryNotes, alerts: list[Unmappable]) -> Iterator[MllpListener]:
    listener = MllpListener(listening(sequence=True))
    listener.notes, listener.on_frame_errors = notes, alerts.extend
    thread = threading.Thread(target=listener.serve, args=(keeper,))
    thread.start()
    try:
        assert listener.bound.wait(WAIT)
        yield listener
    finally:
        listener.stop()
        thread.join(WAIT)


def acknowledgement_of(connection: MllpClient, sequence: int | str) -> tuple[str, str]:
    """MSA-1 and MSA-4."""
    reply = read(connection.send(numbered(sequence)))
    return reply.field("MSA", 1), reply.field("MSA", 4)


def test_numbers_survive_a_restart_and_msa_4_is_the_next() -> None:
    keeper, notes, alerts = Keeper(), InMemoryNotes(), list[Unmappable]()
    with agreed(keeper, notes, alerts) as listener, sender(listener) as connection:
        assert [acknowledgement_of(connection, one) for one in (0, 1, 2)] == [("AA", "-1"), ("AA", "2"), ("AA", "3")]
    with agreed(keeper, notes, alerts) as listener, sender(listener) as connection:
        assert acknowledgement_of(connection, 0) == ("AA", "3")
        assert acknowledgement_of(connection, 2) == ("AA", "3")
        assert acknowledgement_of(connection, 3) == ("AA", "4")
    assert alerts == []


def test_an_unexpected_number_is_refused_and_reported_and_not_applied() -> None:
    keeper, notes, alerts = Keeper(), InMemoryNotes(), list[Unmappable]()
    with agreed(keeper, notes, alerts) as listener, sender(listener) as connection:
        assert acknowledgement_of(connection, 1) == ("AA", "2")
        assert acknowledgement_of(connection, 5) == ("AR", "2")
        assert acknowledgement_of(connection, 6) == ("AR", "2")
        assert acknowledgement_of(connection, -1) == ("AA", "-1")
        assert acknowledgement_of(connection, 7) == ("AA", "8")
    assert keeper.bodies == [numbered(1), numbered(-1), numbered(7)]
    assert [(one.reason, one.path, one.payload) for one in alerts] == [
        ("sequence_mismatch", "MSH-13", numbered(5)),
        ("sequence_mismatch", "MSH-13", numbered(6)),
    ]


def test_a_number_is_stored_only_with_a_commit() -> None:
    keeper, notes, alerts = Keeper(), InMemoryNotes(), list[Unmappable]()
    keeper.failing = True
    with agreed(keeper, notes, alerts) as listener, sender(listener) as connection:
        assert acknowledgement_of(connection, 1) == ("AR", "")
        assert notes.read(LAST_NUMBER) is None
        keeper.failing = False
        assert acknowledgement_of(connection, 1) == ("AA", "2")
    assert notes.read(LAST_NUMBER) == "1"


def test_without_the_setting_numbers_are_ignored() -> None:
    keeper = Keeper()
    listener = MllpListener(listening())
    thread = threading.Thread(target=listener.serve, args=(keeper,))
    thread.start()
    assert listener.bound.wait(WAIT)
    with sender(listener) as connection:
        assert [acknowledgement_of(connection, one) for one in (4, 2)] == [("AA", ""), ("AA", "")]
    listener.stop()
    thread.join(WAIT)
