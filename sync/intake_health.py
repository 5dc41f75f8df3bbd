"""Which sources send messages that cannot be handled now: for readiness and the log. Nothing about any message."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from store.runs.intake_state import IntakeState

LOG_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class _Told:
    """When the log was told last, and of how many messages."""

    at: datetime
    messages: int


@dataclass(slots=True)
class IntakeHealth:
    """One per process. Thread-safe. A source is failing from a message that could not be handled until one is committed again."""

    log: Any
    clock: Callable[[], datetime]
    _failing: dict[str, IntakeState] = field(default_factory=dict)
    _told: dict[str, _Told] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def failed(self, source: str, enterprise: str, messages: int, why: str) -> None:
        """So many messages were answered AR. ``why`` is one line that repeats nothing of them. Logged once a minute for each source."""
        with self._lock:
            now = self.clock()
            before = self._failing.get(source)
            since, so_far = (before.since, before.messages) if before else (now, 0)
            state = self._failing[source] = IntakeState(enterprise, source, since, so_far + messages, why)
            told = self._told.get(source)
            if told is not None and now - told.at < LOG_EVERY:
                return
            self._told[source] = _Told(now, state.messages)
        self.log.error("messages cannot be handled", source=source, messages=state.messages, since=state.since.isoformat(), reason=why)

    def committed(self, source: str) -> None:
        """Messages of the source were committed."""
        if source not in self._failing:
            return
        with self._lock:
            state = self._failing.pop(source, None)
            self._told.pop(source, None)
        if state is not None:
            self.log.warning("messages are handled again", source=source, messages=state.messages, since=state.since.isoformat())

    def failing(self) -> tuple[IntakeState, ...]:
        """The sources that fail now."""
        with self._lock:
            return tuple(self._failing.values())
