"""Splits a stream into lines, with limits on the length of a line, on the size of a group, and on reading ahead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

MOST_IN_LINE = 64 * 1024
TOO_LONG = b"a line that was too long"
"""Replaces a line longer than :data:`MOST_IN_LINE`, whose bytes are dropped as they arrive. Compare with ``is``."""
Lines = list[bytes]


async def lines(body: AsyncIterator[bytes], at_once: int) -> AsyncIterator[Lines]:
    """Groups of up to ``at_once`` complete lines, each as soon as its chunk has arrived. Blank lines are skipped."""
    partial, skipping = b"", False
    async for chunk in body:
        *complete, partial = (partial + chunk).split(b"\n")
        if complete and skipping:
            complete[0], skipping = TOO_LONG, False
        if len(partial) > MOST_IN_LINE or skipping:
            partial, skipping = b"", True
        found = [_bounded(line) for line in complete if line.strip()]
        for start in range(0, len(found), at_once):
            yield found[start : start + at_once]
    if skipping or partial.strip():
        yield [TOO_LONG if skipping else _bounded(partial)]


class ReadAhead:
    """The same lines in larger groups: lines that arrive while a group is answered form the next one, up to ``at_once``."""

    def __init__(self, groups: AsyncIterator[Lines], at_once: int) -> None:
        self._groups, self._at_once = groups, at_once
        self._lines: Lines = []
        self._ended = False
        self._error: Exception | None = None
        self._changed = asyncio.Condition()

    async def __aiter__(self) -> AsyncIterator[Lines]:
        reading = asyncio.create_task(self._read())
        try:
            while group := await self._take():
                yield group
            if self._error is not None:
                raise self._error
        finally:
            reading.cancel()

    async def _read(self) -> None:
        """Reads ahead, but waits while a whole group is waiting: this slows the sender down and limits memory."""
        try:
            async for group in self._groups:
                async with self._changed:
                    await self._changed.wait_for(lambda: len(self._lines) < self._at_once)
                    self._lines += group
                    self._changed.notify_all()
        except Exception as error:
            self._error = error
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    async def _take(self) -> Lines:
        """The lines that have arrived, at least one; none at the end."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._lines) or self._ended)
            group, self._lines = self._lines[: self._at_once], self._lines[self._at_once :]
            self._changed.notify_all()
            return group


def _bounded(line: bytes) -> bytes:
    return TOO_LONG if len(line) > MOST_IN_LINE else line
