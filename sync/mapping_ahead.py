"""Maps the payloads of a large load in a process of its own, ahead of the commits (``sync.mapping_process`` is its other end).

Mapping is pure, so it can leave this process, and nothing depends on the other one: what it does not answer is mapped here. The items and
their order are the same either way. Only so many payloads are on their way at a time.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

from adapters.base import Item, Mapper, Payload, SourceSettings, in_groups
from sync import handover, logs, mapped, processors
from sync.child_process import environment

LARGE = 2_000
"""Records after which a load is large. The other process costs 0.2 to 0.3 s of a processor to start."""
CHUNK, CHUNK_BYTES = 250, 1024 * 1024
CHUNKS, MOST_BYTES = 8, 8 * 1024 * 1024
"""On their way at most, so that the other process has work during a commit. A larger payload is on its way alone."""
PATIENCE = 60.0
"""Seconds until a process that neither reads nor answers is given up. A chunk takes it hundredths of a second."""
NOT_ENDED_BY = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that a terminal or a service manager sends to all processes: this one ends the other."""
LOST = "a process that maps was lost: payloads are mapped in this process instead"

Mapped = tuple[Payload, list[Item]]


@dataclass(frozen=True, slots=True)
class AheadRule:
    """When a load is mapped in a process of its own: after ``large`` records, with more than one processor.

    ``chunk`` payloads are sent at once.
    """

    large: int = LARGE
    chunk: int = CHUNK
    patience: float = PATIENCE
    usable: Callable[[], float] = processors.usable


@dataclass(slots=True)
class MappingAhead:
    """The process for one load. Close when done. ``settings``: those that ``mapper`` was built from."""

    settings: SourceSettings
    mapper: Mapper
    rule: AheadRule
    log: Any
    is_ready: bool = False
    _records: int = 0
    _other: OtherProcess | None = None
    _is_lost: bool = False
    _waiting: deque[list[Payload]] = field(default_factory=deque)
    _bytes: int = 0

    def count(self, records: int) -> None:
        """Counts committed records. A large load gets its process, which is ready at the next call: it had time to start meanwhile."""
        self._records += records
        self.is_ready = self._other is not None
        if self._other is None and not self._is_lost and self._records >= self.rule.large and self.rule.usable() > 1:
            self._start()

    def map(self, payloads: Iterable[Payload], goes_on: Callable[[], bool]) -> Iterator[Mapped]:
        """The items of the payloads, in their order, until all are mapped, the process is lost, or ``goes_on`` is false.

        ``payloads`` is read ahead. If it raises, so does this, after the items of everything before.
        """
        failed: list[Exception] = []
        for chunk in in_groups(self._taken(payloads, goes_on, failed), self.rule.chunk, CHUNK_BYTES, _size):
            while self._waiting and not self._has_room(chunk):
                yield from self._next()
            self._send(chunk)
        while self._waiting:
            yield from self._next()
        if failed:
            raise failed[0]

    def close(self) -> None:
        """Ends the process, whatever it does: it has nothing to lose."""
        if self._other:
            self._other.close()

    def _start(self) -> None:
        try:
            self._other = OtherProcess(self.rule)
            self._other.send(handover.written((mapped.release(self.mapper), self.settings)))
        except Exception as error:
            self._lose(error)

    def _taken(self, payloads: Iterable[Payload], goes_on: Callable[[], bool], failed: list[Exception]) -> Iterator[Payload]:
        """Never takes a payload without passing it on."""
        try:
            for payload in payloads:
                yield payload
                if not self.is_ready or not goes_on():
                    return
        except Exception as error:
            failed.append(error)

    def _has_room(self, chunk: list[Payload]) -> bool:
        return len(self._waiting) < CHUNKS and self._bytes + _sizes(chunk) <= MOST_BYTES

    def _send(self, chunk: list[Payload]) -> None:
        self._waiting.append(chunk)
        self._bytes += _sizes(chunk)
        if self._other:
            try:
                self._other.send(pickle.dumps(chunk, pickle.HIGHEST_PROTOCOL))
            except Exception as error:
                self._lose(error)

    def _next(self) -> Iterator[Mapped]:
        chunk = self._waiting.popleft()
        self._bytes -= _sizes(chunk)
        for payload, items in zip(chunk, self._answer() or repeat(None, len(chunk)), strict=True):
            yield payload, mapped.items(self.mapper, payload) if items is None else items

    def _answer(self) -> list[list[Item] | None] | None:
        if self._other:
            try:
                return self._other.answer()
            except Exception as error:  # a killed process leaves half an answer, at which reading may fail in any way
                self._lose(error)
        return None

    def _lose(self, error: Exception) -> None:
        self.close()
        self._other, self._is_lost, self.is_ready = None, True, False
        self.log.warning(LOST, source=self.settings.name, error=logs.place(error))


class OtherProcess:
    """A process that answers what it is sent, in that order. Raises ``OSError`` if it cannot be started, or does nothing for too long."""

    def __init__(self, rule: AheadRule) -> None:
        self._rule = rule
        self._connection, theirs = socket.socketpair()
        self._connection.settimeout(rule.patience)
        self._answers = self._connection.makefile("rb")
        try:
            with theirs:
                self.process = _started(theirs.fileno())
        except OSError:
            self._close_connection()
            raise

    def send(self, message: bytes) -> None:
        self._connection.sendall(message)

    def answer(self) -> list[list[Item] | None]:
        """The items of each payload of the chunk that was sent first. ``None``: it could not map that one."""
        self._connection.settimeout(self._rule.patience)
        found: list[list[Item] | None] = pickle.load(self._answers)
        return found

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._close_connection()

    def _close_connection(self) -> None:
        self._answers.close()
        self._connection.close()


def _started(connection: int) -> subprocess.Popen[bytes]:
    """A fresh interpreter, since a fork of a process with threads may copy a lock that nobody releases. It inherits the blocked signals."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, NOT_ENDED_BY)
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "sync.mapping_process", str(connection)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # the text of an exception may quote a payload
            pass_fds=(connection,),
            env=environment(os.environ),
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _size(payload: Payload) -> int:
    return len(payload.body)


def _sizes(chunk: list[Payload]) -> int:
    return sum(map(_size, chunk))
