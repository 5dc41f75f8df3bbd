"""Lines out of chunks, with a bound on what is kept: of a line, of a group, and of what is read ahead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

MOST_IN_LINE = 64 * 1024
TOO_LONG = b"a line that was too long"
"""Stands for a line that was longer than :data:`MOST_IN_LINE`; its bytes were let go as they came. Compare with ``is``."""
Lines = list[bytes]


async def lines(body: AsyncIterator[bytes], at_once: int) -> AsyncIterator[Lines]:
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


class ReadAhead:
    """The same lines in larger groups: what came while one group was being answered is the next, up to ``at_once``."""

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
        """Waits while a whole group is waiting: the sender is slowed down, and memory stays what it is."""
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
        """What has come, at least one line; none at the end."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._lines) or self._ended)
            group, self._lines = self._lines[: self._at_once], self._lines[self._at_once :]
            self._changed.notify_all()
            return group


def _bounded(line: bytes) -> bytes:
    return TOO_LONG if len(line) > MOST_IN_LINE else line
