"""Sources whose messages cannot be processed now, for readiness and the log. Contains nothing from messages."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from store.runs.intake_state import IntakeState

LOG_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class _LogEntry:
    """When a source was last logged, and with how many messages."""

    at: datetime
    messages: int


@dataclass(slots=True)
class IntakeHealth:
    """One per process. Thread-safe. ``by_source``: those that fail.

    A source fails from the first message that cannot be processed until one is committed again.
    """

    log: Any
    clock: Callable[[], datetime]
    by_source: dict[str, IntakeState] = field(default_factory=dict)
    _logged: dict[str, _LogEntry] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def failed(self, source: str, enterprise: str, messages: int, why: str) -> None:
        """Counts messages answered AR. ``why`` is one line that quotes nothing from them. Logged once a minute per source."""
        with self._lock:
            now = self.clock()
            before = self.by_source.get(source)
            since, so_far = (before.since, before.messages) if before else (now, 0)
            state = self.by_source[source] = IntakeState(enterprise, source, since, so_far + messages, why)
            logged = self._logged.get(source)
            if logged is not None and now - logged.at < LOG_EVERY:
                return
            self._logged[source] = _LogEntry(now, state.messages)
        self.log.error("messages cannot be handled", source=source, messages=state.messages, since=state.since.isoformat(), reason=why)

    def committed(self, source: str) -> None:
        """Notes that messages of a source were committed that failed until then."""
        with self._lock:
            state = self.by_source.pop(source, None)
            self._logged.pop(source, None)
        if state is not None:
            self.log.warning("messages are handled again", source=source, messages=state.messages, since=state.since.isoformat())

    def forget(self, source: str) -> None:
        """Forgets a source that this process no longer receives."""
        with self._lock:
            self.by_source.pop(source, None)
            self._logged.pop(source, None)

    def failing(self) -> tuple[IntakeState, ...]:
        """The sources that currently fail."""
        with self._lock:
            return tuple(self.by_source.values())
