from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from adapters.base import IngestResult, Payload, SourceSettings
from adapters.hl7v2.ack import Acknowledger
from adapters.hl7v2.batch import pieces, split
from adapters.hl7v2.mapping import Hl7Mapper
from adapters.hl7v2.reader import read
from store.preference import PatientStatements

NOW = datetime(2026, 11, 1, 15, 0, tzinfo=UTC)
MAPPER = Hl7Mapper(
    SourceSettings(
        "any",
        "hl7v2.files",
        authority="GENHOSP",
        default_region="US",
        mapping={"do_not_contact": {"from": "ZCP-2[*]", "values": {"DNC": "yes", "OK": "no"}}},
    )
)
SCRAPS = ["MSH", "PID", "PD1", "ZCP", "MRG", "EVN", "|", "^", "~", "\\", "&", '""', "\r", "\n", "ADT^A08", "ADT^A40", "DNC", "OK"]
SCRAPS += ["1^^^GENHOSP^MR", "20261101083000", "(217)555-0123", "\\X4", "\\F\\", "é", "\x0b", "\x1c", "|||||||||||||", "Y"]
messy = st.lists(st.sampled_from(SCRAPS) | st.text(max_size=4), max_size=40).map("".join)
text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=30)


@given(messy | text, st.sampled_from(["", "MSH|^~\\&|A|B|C|D|2026||ADT^A08|1|P|2.5\r", "MSH|^~\\&|A|B|C|D|2026||ADT^A40|1|P|2.5\r"]))
def test_no_message_makes_the_mapper_fail(body: str, head: str) -> None:
    payload = Payload((head + body).encode("utf-8", "surrogatepass"), "x", NOW)
    assert MAPPER.read(payload)
    assert MAPPER.explain(payload).items == MAPPER.read(payload)
    Acknowledger().replies(payload.body, IngestResult("rejected", "not_hl7", "é"), NOW)


@given(st.binary(max_size=300))
def test_no_bytes_make_the_mapper_fail(body: bytes) -> None:
    assert MAPPER.read(Payload(body, "x", NOW))
    Acknowledger().replies(body, IngestResult("applied"), NOW)


def escaped(value: str) -> str:
    names = {"\\": "E", "|": "F", "^": "S", "&": "T", "~": "R"}
    return "".join(f"\\{names[char]}\\" if char in names else char for char in value)


@given(st.lists(text, min_size=1, max_size=8))
def test_escaped_text_is_read_back_unchanged(values: list[str]) -> None:
    body = "MSH|^~\\&|A\rZCP|" + "|".join(escaped(value) for value in values)
    message = read(f"{body}|end\r".encode())
    assert [message.unescape(one) for one in message.segments("ZCP")[0][1:-1]] == values


@given(st.permutations(["OK", "DNC", "OK", ""]))
def test_a_refusal_counts_in_any_order_of_codes(codes: list[str]) -> None:
    body = f"MSH|^~\\&|A|B|C|D|2026||ADT^A08|1|P|2.5\rPID|||1^^^GENHOSP^MR\rZCP|1|{'~'.join(codes)}\r"
    (said,) = MAPPER.read(Payload(body.encode(), "x", NOW))
    assert isinstance(said, PatientStatements)
    assert said.statements["do_not_contact"].value == "yes"


message = st.builds(
    lambda n, end: f"MSH|^~\\&|A|B|C|D|2026||ADT^A08|{n}|P|2.5{end}PID|||{n}^^^GENHOSP^MR{end}".encode(),
    st.integers(0, 10**9),
    st.sampled_from(["\r", "\n", "\r\n"]),
)


@given(st.lists(message, min_size=1, max_size=8), st.integers(1, 200))
def test_a_stream_is_split_into_messages_whatever_the_read_size(messages: list[bytes], size: int) -> None:
    stream = b"".join(messages)
    chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert list(pieces(chunks)) == messages


@given(st.lists(messy.map(str.encode) | message, max_size=6), st.integers(1, 100))
def test_no_byte_of_a_stream_is_lost(parts: list[bytes], size: int) -> None:
    stream = b"".join(parts)
    whole = b"".join(split(stream))
    blank = bytes.maketrans(b"", b"")
    drop = b"\x00\t\n\x0b\x0c\r\x1c "
    assert whole.translate(blank, drop) == stream.translate(blank, drop)
    cut = b"".join(pieces([stream[at : at + size] for at in range(0, len(stream), size)]))
    assert cut.translate(blank, drop) == stream.translate(blank, drop)
