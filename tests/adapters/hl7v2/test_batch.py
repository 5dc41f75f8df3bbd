"""Splitting a stream of bytes into messages."""

from __future__ import annotations

import pytest

from adapters.hl7v2.batch import pieces, split

ONE = b"MSH|^~\\&|A|||||ADT^A08|1|P|2.5\rPID|||1\r"
TWO = b"MSH|^~\\&|A|||||ADT^A08|2|P|2.5\rPID|||2\r"


@pytest.mark.parametrize(
    ("stream", "found"),
    [
        (ONE, [ONE]),
        (ONE + TWO, [ONE, TWO]),
        (ONE.replace(b"\r", b"\n") + TWO, [ONE.replace(b"\r", b"\n"), TWO]),
        (b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + ONE + TWO + b"BTS|2\rFTS|1\r", [b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + ONE, TWO + b"BTS|2\rFTS|1\r"]),
        (
            b"BHS|^~\\&|A\r" + ONE + b"BTS|1\rBHS|^~\\&|A\r" + TWO + b"BTS|1\r",
            [b"BHS|^~\\&|A\r" + ONE + b"BTS|1\r", b"BHS|^~\\&|A\r" + TWO + b"BTS|1\r"],
        ),
        (b"FHS|^~\\&|A\rBTS|0\rFTS|0\r", [b"FHS|^~\\&|A\rBTS|0\rFTS|0\r"]),
        (b"a letter\r\n" + ONE, [b"a letter\r\n", ONE]),
        (b"\x0b" + ONE + b"\x1c\r\x0b" + TWO + b"\x1c\r", [b"\x0b" + ONE + b"\x1c\r\x0b", TWO + b"\x1c\r"]),
        (b"\xef\xbb\xbf" + ONE + b"\r\n\r\n" + TWO, [b"\xef\xbb\xbf" + ONE + b"\r\n\r\n", TWO]),
        (b"\r\n\r\n", []),
        (b"", []),
    ],
)
def test_a_stream_is_split_at_message_starts(stream: bytes, found: list[bytes]) -> None:
    assert list(split(stream)) == found
    assert list(pieces(bytes([byte]) for byte in stream)) == found


def test_a_stream_without_a_message_start_is_cut_to_limit_memory() -> None:
    found = list(pieces((b"x" * 1000 for _ in range(100)), largest=10_000))
    assert max(len(one) for one in found) <= 11_000
    assert b"".join(found) == b"x" * 100_000
