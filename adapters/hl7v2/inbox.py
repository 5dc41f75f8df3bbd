"""The messages of all connections that wait to be handled, in the order of arrival, and how much of them there is."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from adapters.base import Payload
from adapters.hl7v2.connection import Connection


class InboxMessage(NamedTuple):
    """A message, and the connection that its acknowledgement goes to."""

    connection: Connection
    payload: Payload


@dataclass(slots=True)
class Inbox:
    """``most`` messages and ``most_bytes`` may wait; bytes count until they are answered."""

    most: int
    most_bytes: int
    _waiting: deque[InboxMessage] = field(default_factory=deque)
    _bytes: int = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def has_room(self) -> bool:
        """Whether connections may be read on."""
        return len(self._waiting) < self.most and self._bytes < self.most_bytes

    @property
    def is_low(self) -> bool:
        """Whether connections that were held back may be read again."""
        return len(self._waiting) < self.most // 2 and self._bytes < self.most_bytes // 2

    def put(self, received: InboxMessage) -> None:
        """One more."""
        self._bytes += len(received.payload.body)
        self._waiting.append(received)

    def group(self, size: int, size_bytes: int) -> list[InboxMessage]:
        """The next ones, by count and by bytes; at least one where any waits."""
        found: list[InboxMessage] = []
        room = size_bytes
        while self._waiting and len(found) < size and (not found or len(self._waiting[0].payload.body) <= room):
            found.append(self._waiting.popleft())
            room -= len(found[-1].payload.body)
        return found

    def answered(self, received: InboxMessage) -> None:
        """Its bytes no longer count."""
        self._bytes -= len(received.payload.body)
