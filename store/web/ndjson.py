"""Lines out of chunks, with a bound on what is kept: of a line, and of a group."""

from __future__ import annotations

from collections.abc import AsyncIterator

MOST_IN_LINE = 64 * 1024
TOO_LONG = b"\0"
"""Stands for a line that was longer than :data:`MOST_IN_LINE`; its bytes were let go as they came. Compare with ``is``."""


async def lines(body: AsyncIterator[bytes], at_once: int) -> AsyncIterator[list[bytes]]:
    """Groups of up to ``at_once`` complete lines, each as soon as its chunk has come. Blank lines are no lines."""
    rest, skipping = b"", False
    async for chunk in body:
        *complete, rest = (rest + chunk).split(b"\n")
        if complete and skipping:
            complete[0], skipping = TOO_LONG, False
        if len(rest) > MOST_IN_LINE or skipping:
            rest, skipping = b"", True
        found = [_bounded(line) for line in complete if line.strip()]
        for start in range(0, len(found), at_once):
            yield found[start : start + at_once]
    if skipping or rest.strip():
        yield [TOO_LONG if skipping else _bounded(rest)]


def _bounded(line: bytes) -> bytes:
    return TOO_LONG if len(line) > MOST_IN_LINE else line
