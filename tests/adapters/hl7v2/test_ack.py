"""Acknowledgements in original and enhanced mode."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from adapters.base import IngestResult
from adapters.hl7v2.ack import CODES, Acknowledger
from adapters.hl7v2.reader import read
from store.preference import Problem
from tests.adapters.hl7v2.messages import adt

NOW = datetime(2026, 11, 1, 15, 0, tzinfo=UTC)
APPLIED = IngestResult("applied")
REJECTED = IngestResult("rejected", "code_unmapped", "the code | here is in no table")


def replies(message: bytes, answer: IngestResult = APPLIED, **ack: str) -> list[bytes]:
    return Acknowledger.from_options(ack).replies(message, answer, NOW)


def answered(message: bytes, answer: IngestResult = APPLIED, **ack: str) -> bytes:
    (reply,) = replies(message, answer, **ack)
    return reply


def asking(accept: str, application: str) -> bytes:
    return adt(header=f"MSH|^~\\&|A|B|C|D|2026||ADT^A08|7|P|2.5|||{accept}|{application}")


def codes(message: bytes, answer: IngestResult = APPLIED, **ack: str) -> list[str]:
    return [read(reply).field("MSA", 1) for reply in replies(message, answer, **ack)]


def test_it_works() -> None:
    reply = answered(adt())
    own = read(reply).field("MSH", 10)
    assert reply == f"MSH|^~\\&|SYNC|HUB|ADT|GENHOSP|20261101150000+0000||ACK^A08|{own}|P|2.5.1\rMSA|AA|MSG00001\r".encode()


def test_a_duplicate_message_gets_the_same_acknowledgement() -> None:
    assert answered(adt()) == answered(adt())
    assert answered(adt()) != answered(adt("A31"))


def test_an_acknowledgement_states_its_own_time_in_utc() -> None:
    chicago = timezone(timedelta(hours=-6))
    for now in (NOW, NOW + timedelta(seconds=1), NOW, datetime(2026, 11, 1, 9, 0, 2, tzinfo=chicago)):
        (reply,) = Acknowledger().replies(adt(), APPLIED, now)
        assert read(reply).field("MSH", 7) == f"{now.astimezone(UTC):%Y%m%d%H%M%S}+0000"


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_a_message_that_answers_another_one_is_not_answered(end: str) -> None:
    query = adt(header="MSH|^~\\&|A|B|C|D|2026||RSP^K22|7|P|2.5").decode()
    assert replies(query.replace("\r", f"{end}MSA|AA|7{end}", 1).encode()) == []
    assert replies(query.replace("PID|", "PID|MSA|").encode()) != [], "MSA in a field is text"


def test_a_refused_message_that_is_later_accepted_gets_a_new_acknowledgement() -> None:
    assert read(answered(adt(), IngestResult("unavailable"))).field("MSH", 10) != read(answered(adt())).field("MSH", 10)


def test_own_control_ids_fit_into_msh_10() -> None:
    assert 0 < len(read(answered(adt())).field("MSH", 10)) <= 20


@pytest.mark.parametrize(
    ("accept", "application", "sent"),
    [
        ("", "", ["AA"]),
        ("AL", "NE", ["CA"]),
        ("AL", "", ["CA"]),
        ("AL", "AL", ["CA", "AA"]),
        ("NE", "AL", ["AA"]),
        ("", "AL", ["AA"]),
        ("NE", "NE", []),
        ("ER", "SU", ["AA"]),
        ("SU", "ER", ["CA"]),
        ("Y", "NE", ["CA"]),  # not in table 0155
    ],
)
def test_committed_messages_are_acknowledged_as_msh_15_and_16_request(accept: str, application: str, sent: list[str]) -> None:
    assert codes(asking(accept, application)) == sent


@pytest.mark.parametrize(
    ("accept", "application", "sent"),
    [
        ("AL", "NE", ["CE"]),
        ("AL", "AL", ["CE"]),  # a message that is not accepted gets no application acknowledgement
        ("NE", "ER", ["AE"]),
        ("SU", "AL", ["AE"]),
        ("ER", "SU", ["CE"]),
        ("NE", "NE", []),
    ],
)
def test_a_refused_message_gets_one_acknowledgement(accept: str, application: str, sent: list[str]) -> None:
    assert codes(asking(accept, application), REJECTED) == sent


@pytest.mark.parametrize(("accept", "application", "code"), [("AL", "NE", "CR"), ("NE", "NE", "CR"), ("", "NE", "AR"), ("SU", "SU", "CR")])
def test_a_sender_that_wants_no_answer_gets_one_when_nothing_was_stored(accept: str, application: str, code: str) -> None:
    assert codes(asking(accept, application), IngestResult("unavailable")) == [code]


def test_a_source_may_have_a_mode_of_its_own() -> None:
    assert codes(asking("AL", "AL"), mode="original") == ["AA"]
    assert codes(asking("", ""), mode="enhanced") == ["CA"]
    assert codes(asking("NE", "NE"), REJECTED, mode="enhanced") == ["CE"]


def test_a_source_may_have_codes_of_its_own() -> None:
    assert codes(adt(), REJECTED, rejected="AA") == ["AA"]
    assert b"ERR" not in answered(adt(), REJECTED, rejected="AA")
    assert codes(asking("AL", "NE"), REJECTED, rejected="AR") == ["CR"]
    assert codes(adt(), rejected="AA") == ["AA"]


@pytest.mark.parametrize("ack", [{"rejected": "CA"}, {"refused": "AE"}, {"mode": "both"}])
def test_an_invalid_ack_option_is_refused(ack: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"ack"):
        Acknowledger.from_options(ack)


def test_msa_4_is_the_next_expected_sequence_number() -> None:
    (reply,) = Acknowledger().replies(adt(), APPLIED, NOW, expected=8)
    assert read(reply).segments("MSA")[0] == ["MSA", "AA", "MSG00001", "", "8"]


def test_every_outcome_has_a_code() -> None:
    assert {"applied", "unchanged", "stale", "merged", "filtered", "held", "rejected", "unavailable"} == set(CODES)


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
    assert read(answered(adt(), IngestResult(outcome))).field("MSA", 1) == code


def test_the_acknowledgement_has_a_structure_if_the_message_has_one() -> None:
    header = "MSH|^~\\&|A|B|C|D|2026||ADT^A08^ADT_A01|1|P|2.5"
    assert read(answered(adt(header=header))).field("MSH", 9) == "ACK^A08^ACK"


def test_an_error_has_the_form_of_the_senders_version() -> None:
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


@pytest.mark.parametrize(
    "message", [b"", b"hello", b"MSH", b"MSH|", b"MSH||", b"MSH|^~\\&", b"MSH|^~\\&H\rPID|1\r", b"\xff\xfe\xfa", b"PID|1\r"]
)
def test_a_barely_readable_message_is_answered(message: bytes) -> None:
    reply = read(answered(message, IngestResult("rejected", "not_hl7", "no MSH")))
    assert reply.field("MSA", 1) == "AE"
    assert reply.field("MSH", 10)


@pytest.mark.parametrize("kind", ["ACK", "ACK^A08", "ACK^A08^ACK", "MCF"])
def test_an_acknowledgement_is_never_acknowledged(kind: str) -> None:
    assert replies(f"MSH|^~\\&|A|B|C|D|2026||{kind}|1|P|2.5|||AL|AL\rMSA|AA|7\r".encode(), APPLIED) == []


def test_a_response_to_a_query_counts_as_an_acknowledgement() -> None:
    assert replies(b"MSH|^~\\&|A|B|C|D|2026||RSP^K22|1|P|2.5|||AL|AL\rMSA|AA|7\rQAK|Q1|OK\r", REJECTED) == []


PARTLY = IngestResult(
    "applied",
    problems=(
        Problem("code_unmapped", "ZCP-3", "preferred_method: the code | here is in no table", "preferred_method"),
        Problem("phone_unusable", "PID-13[2]", "no number"),
        Problem("line_not_a_segment", "", "a line is no segment"),
    ),
)


def test_a_partly_used_message_is_accepted_with_a_warning_per_problem() -> None:
    lines = answered(adt(), PARTLY).decode().split("\r")
    assert lines[1:] == [
        "MSA|AA|MSG00001",
        "ERR||ZCP^1^3|103^Table value not found^HL70357|W|code_unmapped|||preferred_method: the code \\F\\ here is in no table",
        "ERR||PID^1^13^2|102^Data type error^HL70357|W|phone_unusable|||no number",
        "ERR|||100^Segment sequence error^HL70357|W|line_not_a_segment|||a line is no segment",
        "",
    ]


@pytest.mark.parametrize("outcome", ["unchanged", "stale", "held", "merged"])
def test_a_repeat_gets_the_warning_again(outcome: str) -> None:
    assert b"|W|code_unmapped" in answered(adt(), PARTLY._replace(outcome=outcome))


def test_a_source_chooses_the_code_of_partly_used_messages() -> None:
    assert codes(adt(), PARTLY, partial="AE") == ["AE"]
    assert b"|W|" in answered(adt(), PARTLY, partial="AE")
    assert codes(adt(), APPLIED, partial="AE") == ["AA"]
    assert codes(adt(), REJECTED, partial="AR") == ["AE"]
    assert codes(asking("AL", ""), PARTLY) == ["CA"]
    assert codes(asking("AL", "AL"), PARTLY, partial="AE") == ["CE"]
    with pytest.raises(ValueError, match="partial"):
        Acknowledger.from_options({"partly": "AA"})


def test_before_version_2_5_a_warning_is_only_a_text() -> None:
    old = adt(header="MSH|^~\\&|A|B|C|D|2026||ADT^A08|7|P|2.3")
    assert answered(old, PARTLY).decode().split("\r")[1:] == ["MSA|AA|7|applied in part", ""]


def test_the_number_of_warnings_is_limited() -> None:
    assert answered(adt(), IngestResult("applied", problems=PARTLY.problems * 100)).count(b"ERR|") == 20
