"""Splitting chunks into lines, with limits on what is buffered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.web.http.ndjson import MOST_IN_LINE, TOO_LONG, ReadAhead, lines


async def cut(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def read(*chunks: bytes, at_once: int = 100) -> list[bytes]:
    async def everything() -> list[bytes]:
        return [line async for group in lines(cut(chunks), at_once) for line in group]

    return asyncio.run(everything())


@given(st.lists(st.binary(min_size=1, max_size=9).filter(lambda line: b"\n" not in line and line.strip()), max_size=9), st.data())
def test_lines_do_not_depend_on_how_the_stream_is_split(rows: list[bytes], data: st.DataObject) -> None:
    body = b"\n".join(rows)
    places = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=5)))
    edges = [0, *places, len(body)]
    assert read(*(body[start:end] for start, end in pairwise(edges))) == rows


def test_blank_lines_are_ignored() -> None:
    assert read(b"\n\na\r\n  \n", b"\nb\n\n") == [b"a\r", b"b"]


@pytest.mark.parametrize("size", [MOST_IN_LINE + 1, 3 * MOST_IN_LINE])
@pytest.mark.parametrize("step", [1_000, 65_536, 10**6])
def test_a_line_over_the_limit_is_dropped_and_the_next_is_read(size: int, step: int) -> None:
    body = b"a\n" + b"x" * size + b"\nb\n" + b"y" * size
    found = read(*(body[start : start + step] for start in range(0, len(body), step)))
    assert found == [b"a", TOO_LONG, b"b", TOO_LONG]
    assert found[1] is found[3] is TOO_LONG


def test_a_line_equal_to_the_placeholder_of_a_long_line_is_ordinary() -> None:
    (line,) = read(b"x" + TOO_LONG + b"\n")[:1]
    (same,) = read(bytes(bytearray(TOO_LONG)))
    assert line is not TOO_LONG
    assert same is not TOO_LONG


def test_groups_are_limited_in_size() -> None:
    async def sizes() -> list[int]:
        return [len(group) async for group in lines(cut([b"a\n" * 25]), 10)]

    assert asyncio.run(sizes()) == [10, 10, 5]


def test_lines_received_while_a_group_is_answered_form_one_group() -> None:
    async def sizes() -> list[int]:
        found = []
        async for group in ReadAhead(lines(cut([b"a\n"] * 25), 10), 10):
            found.append(len(group))
            await asyncio.sleep(0.01)
        return found

    found = asyncio.run(sizes())
    assert sum(found) == 25
    assert max(found) <= 10
    assert len(found) < 25


def test_a_read_ahead_error_ends_the_stream_after_the_earlier_lines() -> None:
    async def broken() -> AsyncIterator[list[bytes]]:
        yield [b"a"]
        raise ConnectionError("gone")

    found: list[bytes] = []

    async def everything() -> None:
        async for group in ReadAhead(broken(), 10):
            found.extend(group)

    with pytest.raises(ConnectionError):
        asyncio.run(everything())
    assert found == [b"a"]
