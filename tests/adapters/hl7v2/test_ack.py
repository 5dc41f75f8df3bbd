from __future__ import annotations

from datetime import UTC, datetime

import pytest

from adapters.base import Answer
from adapters.hl7v2.ack import acknowledge
from adapters.hl7v2.reader import read
from tests.adapters.hl7v2.messages import adt

NOW = datetime(2026, 11, 1, 15, 0, tzinfo=UTC)
APPLIED = Answer("applied")
REJECTED = Answer("rejected", "code_unmapped", "the code | here is in no table")


def answered(message: bytes, answer: Answer = APPLIED) -> bytes:
    reply = acknowledge(message, answer, "ACK1", NOW)
    assert reply is not None
    return reply


def test_it_works() -> None:
    assert answered(adt()) == (b"MSH|^~\\&|SYNC|HUB|ADT|GENHOSP|20261101150000+0000||ACK^A08|ACK1|P|2.5.1\rMSA|AA|MSG00001\r")


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ("applied", "AA"),
        ("unchanged", "AA"),
        ("stale", "AA"),
        ("merged", "AA"),
        ("filtered", "AA"),
        ("held", "AA"),
        ("rejected", "AE"),
        ("unavailable", "AR"),
        ("anything else", "AR"),
    ],
)
def test_an_outcome_has_its_code(outcome: str, code: str) -> None:
    assert read(answered(adt(), Answer(outcome))).field("MSA", 1) == code


def test_the_structure_of_the_acknowledgement_is_named_where_the_sender_names_structures() -> None:
    header = "MSH|^~\\&|A|B|C|D|2026||ADT^A08^ADT_A01|1|P|2.5"
    assert read(answered(adt(header=header))).field("MSH", 9) == "ACK^A08^ACK"


def test_a_refusal_says_why_in_the_shape_of_the_version() -> None:
    new = read(answered(adt(), REJECTED))
    assert new.segments("ERR")[0][3:] == [
        "103^Table value not found^HL70357",
        "E",
        "code_unmapped",
        "",
        "",
        "the code \\F\\ here is in no table",
    ]
    old = read(answered(adt(header="MSH|^~\\&|A|B|C|D|2026||ADT^A08|1|P|2.3.1"), REJECTED))
    assert old.segments("ERR")[0][1:] == ["^^^103&Table value not found&HL70357&code_unmapped"]


def test_delimiters_and_character_set_are_those_of_the_message() -> None:
    message = b"MSH#*!/@#BL\xc4#FAC###20261101##ADT*A08#1#P#2.5######8859/1\rPID#1\r"
    reply = answered(message, REJECTED)
    assert reply.startswith(b"MSH#*!/@###BL\xc4#FAC#")
    assert b"#8859/1\rMSA#AE#1\r" in reply


@pytest.mark.parametrize("message", [b"", b"hello", b"MSH", b"MSH|", b"MSH||", b"MSH|^~\\&", b"\xff\xfe\xfa", b"PID|1\r"])
def test_a_message_that_can_hardly_be_read_is_answered(message: bytes) -> None:
    reply = read(answered(message, Answer("rejected", "not_hl7", "no MSH")))
    assert reply.field("MSA", 1) == "AE"
    assert reply.field("MSH", 10) == "ACK1"


@pytest.mark.parametrize("kind", ["ACK", "ACK^A08", "ACK^A08^ACK", "MCF"])
def test_an_acknowledgement_is_never_acknowledged(kind: str) -> None:
    assert acknowledge(f"MSH|^~\\&|A|B|C|D|2026||{kind}|1|P|2.5\rMSA|AA|7\r".encode(), APPLIED, "ACK1", NOW) is None
