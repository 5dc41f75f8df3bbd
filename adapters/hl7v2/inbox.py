"""The queue of received messages of all connections, in the order of arrival, limited by count and bytes."""

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
    """Holds up to ``max_messages`` and ``max_bytes``. Bytes count until their message is answered."""

    max_messages: int
    max_bytes: int
    _waiting: deque[InboxMessage] = field(default_factory=deque)
    _bytes: int = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def has_room(self) -> bool:
        """Whether reading from connections may continue."""
        return len(self._waiting) < self.max_messages and self._bytes < self.max_bytes

    @property
    def is_low(self) -> bool:
        """Whether paused connections may be read again."""
        return len(self._waiting) < self.max_messages // 2 and self._bytes < self.max_bytes // 2

    def put(self, received: InboxMessage) -> None:
        """Adds a message."""
        self._bytes += len(received.payload.body)
        self._waiting.append(received)

    def group(self, size: int, size_bytes: int) -> list[InboxMessage]:
        """Removes and returns the next messages, limited by count and bytes; at least one if any is waiting."""
        found: list[InboxMessage] = []
        room = size_bytes
        while self._waiting and len(found) < size and (not found or len(self._waiting[0].payload.body) <= room):
            found.append(self._waiting.popleft())
            room -= len(found[-1].payload.body)
        return found

    def answered(self, received: InboxMessage) -> None:
        """Stops counting the bytes of an answered message."""
        self._bytes -= len(received.payload.body)
