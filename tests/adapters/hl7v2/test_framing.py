from __future__ import annotations

import pytest

from adapters.hl7v2.framing import Deframer, frame


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
def test_frames_are_found_in_every_dialect(wire: bytes) -> None:
    deframer = Deframer()
    assert deframer.feed(wire) == [b"one", b"two"]
    assert deframer.error is None
    assert not deframer.pending


def test_a_message_is_given_out_as_soon_as_it_ends() -> None:
    deframer = Deframer()
    assert deframer.feed(b"\x0bone\x1c") == [b"one"]
    assert deframer.feed(b"\r") == []
    assert deframer.feed(b"\x0btw") == []
    assert deframer.pending
    assert deframer.rest == b"tw"
    assert deframer.feed(b"o\x1c\r") == [b"two"]


def test_a_separator_tab_inside_text_is_text() -> None:
    assert Deframer().feed(frame(b"a\x0bb")) == [b"a\x0bb"]


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (b"\x0bone\x1c\rGET / HTTP/1.1", "frame_garbage"),
        (b"\x0bone\x1c\r\x0b" + b"x" * 101, "frame_too_large"),
        (b"\x0bone\x1c\r\x0b" + b"x" * 101 + b"\x1c\r", "frame_too_large"),
        (b"\x0bone\x1c\r\x0bMSH|cut\x0bMSH|whole\x1c\r", "frame_unfinished"),
    ],
)
def test_an_error_ends_the_stream_and_keeps_what_came_before(wire: bytes, reason: str) -> None:
    deframer = Deframer(limit=100)
    assert deframer.feed(wire) == [b"one"]
    assert deframer.error is not None
    assert deframer.error.reason == reason
    assert deframer.error.fragment
    assert deframer.feed(frame(b"later")) == []
    assert deframer.rest == b""


def test_a_frame_of_just_the_limit_is_taken() -> None:
    assert Deframer(limit=100).feed(frame(b"x" * 100)) == [b"x" * 100]


def test_an_empty_frame_is_no_message() -> None:
    assert Deframer().feed(frame(b"") + frame(b"one")) == [b"one"]
