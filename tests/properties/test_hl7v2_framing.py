from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from adapters.hl7v2.framing import Deframer, frame

WIDE = (b"M\x00", b"\x00M", b"\xff\xfe", b"\xfe\xff")  # two bytes per character: only a CR marks the end of such a frame
contents = st.binary(min_size=1, max_size=60).map(lambda raw: raw.replace(b"\x1c", b"?").replace(b"\x0b", b"?"))
contents = contents.filter(lambda raw: raw[:2] not in WIDE)
between = st.sampled_from([b"", b"\r", b"\r\n", b"\n", b"\x00", b"\r\x00\r\n", b" "])


def cut(wire: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(wire) + 1) for place in places}), len(wire)]
    return [wire[start:end] for start, end in pairwise(edges)]


@given(st.lists(st.tuples(contents, between), max_size=8), st.lists(st.integers(0, 2000), max_size=12))
def test_messages_do_not_depend_on_how_the_stream_is_split(frames: list[tuple[bytes, bytes]], places: list[int]) -> None:
    wire = b"".join(frame(message)[:-1] + gap for message, gap in frames)
    deframer = Deframer()
    found = [message for chunk in cut(wire, places) for message in deframer.feed(chunk)]
    assert found == [message for message, _ in frames]
    assert deframer.error is None


@given(st.binary(max_size=200), st.lists(st.integers(0, 400), max_size=6))
def test_any_bytes_give_the_same_messages_and_error_however_they_are_split(wire: bytes, places: list[int]) -> None:
    whole, pieces = Deframer(limit=50), Deframer(limit=50)
    at_once = whole.feed(wire)
    assert [message for chunk in cut(wire, places) for message in pieces.feed(chunk)] == at_once
    assert (whole.error and whole.error.reason) == (pieces.error and pieces.error.reason)
