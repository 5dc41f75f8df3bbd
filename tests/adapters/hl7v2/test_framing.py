"""MLLP framing."""

from __future__ import annotations

import pytest

from adapters.hl7v2.errors import UnusableMessage
from adapters.hl7v2.framing import Deframer, Oversized, frame
from adapters.hl7v2.reader import read


@pytest.mark.parametrize(
    "wire",
    [
        b"\x0bone\x1c\r\x0btwo\x1c\r",
        b"\x0bone\x1c\r\n\x0btwo\x1c\r\n",
        b"\x0bone\x1c\x0btwo\x1c",
        b"\x00\r\n\x0bone\x1c\r\x00\x00\x0btwo\x1c\r\x00",
        b"  \x0bone\x1c\n\x0btwo\x1c",
    ],
)
def test_frames_are_found_in_every_variant(wire: bytes) -> None:
    deframer = Deframer()
    assert deframer.feed(wire) == [b"one", b"two"]
    assert deframer.error is None
    assert not deframer.pending


def test_a_message_is_returned_as_soon_as_it_ends() -> None:
    deframer = Deframer()
    assert deframer.feed(b"\x0bone\x1c") == [b"one"]
    assert deframer.feed(b"\r") == []
    assert deframer.feed(b"\x0btw") == []
    assert deframer.pending
    assert deframer.rest == b"tw"
    assert deframer.feed(b"o\x1c\r") == [b"two"]


def test_a_vertical_tab_inside_text_is_text() -> None:
    assert Deframer().feed(frame(b"a\x0bb")) == [b"a\x0bb"]


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (b"\x0bone\x1c\rGET / HTTP/1.1", "frame_garbage"),
        (b"\x0bone\x1c\r\x0bMSH|cut\x0bMSH|whole\x1c\r", "frame_unfinished"),
    ],
)
def test_an_error_ends_the_stream_and_keeps_earlier_messages(wire: bytes, reason: str) -> None:
    deframer = Deframer(limit=100)
    assert deframer.feed(wire) == [b"one"]
    assert deframer.error is not None
    assert deframer.error.reason == reason
    assert deframer.error.fragment
    assert deframer.feed(frame(b"later")) == []
    assert deframer.rest == b""


def test_a_frame_of_exactly_the_limit_is_accepted() -> None:
    assert Deframer(limit=100).feed(frame(b"x" * 100)) == [b"x" * 100]


def test_a_frame_beyond_the_limit_is_dropped_and_later_frames_arrive() -> None:
    wire = frame(b"one") + frame(b"x" * 101) + frame(b"two") + frame(b"y" * 1_000_000) + frame(b"three")
    for size in (1, 7, 64, len(wire)):
        deframer = Deframer(limit=100)
        found = [message for at in range(0, len(wire), size) for message in deframer.feed(wire[at : at + size])]
        assert found == [b"one", b"x" * 100, b"two", b"y" * 100, b"three"]
        assert [isinstance(one, Oversized) for one in found] == [False, True, False, True, False]
        if size == 64:
            assert deframer.rest == b""


def test_only_the_start_of_a_frame_beyond_the_limit_is_kept_in_memory() -> None:
    deframer = Deframer(limit=100_000)
    assert deframer.feed(b"\x0b" + b"x" * 100_001) == []
    for _ in range(100):
        assert deframer.feed(b"x" * 1000) == []
        assert len(deframer._buffer) < 4
    assert deframer.pending
    assert deframer.rest == b"x" * 4096
    assert deframer.feed(b"\x1c\r" + frame(b"two")) == [b"x" * 4096, b"two"]


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-16"])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_utf_16_text_may_contain_the_framing_byte(codec: str, size: int) -> None:
    text = "MSH|^~\\&|A\rNTE|1||\u201cquoted\u201d \u0d1d"
    body = text.encode(codec)
    wire = frame(body) + frame(b"MSH|two")
    deframer = Deframer()
    assert [one for at in range(0, len(wire), size) for one in deframer.feed(wire[at : at + size])] == [body, b"MSH|two"]


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_the_frame_itself_may_be_utf_16(codec: str) -> None:
    wire = "\x0bMSH|^~\\&|A|||||||||\rPID|1||Zoë\r\x1c\r".encode(codec) * 2
    found = Deframer().feed(wire)
    assert [read(one).field("PID", 3) for one in found] == ["Zoë"] * 2
    with pytest.raises(UnusableMessage):  # it is unknown which half of a letter was lost
        read(Deframer().feed("\x0bMSH|^~\\&|A\rPID|1||\u017e\r\x1c\r".encode(codec))[0])


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff"])
@pytest.mark.parametrize("size", [1, 1000])
def test_a_byte_order_mark_before_text_of_single_bytes_does_not_hide_the_end_of_the_frame(mark: bytes, size: int) -> None:
    body = mark + b"MSH|^~\\&|A\rPID|1"
    wire = frame(body) + frame(body + b"|") + frame(b"MSH|two")
    deframer = Deframer()
    assert [one for at in range(0, len(wire), size) for one in deframer.feed(wire[at : at + size])] == [body, body + b"|", b"MSH|two"]


def test_an_empty_frame_is_not_a_message() -> None:
    assert Deframer().feed(frame(b"") + frame(b"one")) == [b"one"]
