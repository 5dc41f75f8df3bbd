"""The composition root: builds the store, the engine and an adapter per source from the settings, once per process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from adapters.base import Adapter
from adapters.mapping.telecom import e164
from adapters.notes import HasNotes
from store.db import encoding, outage, schema
from store.db.database import Database
from store.db.database import utc_now as utc_now
from store.db.recent_failures import FailureState, RecentFailures
from store.holds.configuration import Configurations
from store.holds.review import HeldReview
from store.patients.preferences import Preferences
from store.runs.runs import Journal
from store.runs.source_notes import SourceNotes
from store.users.api_keys import ApiKeys
from sync import logs, mapped, memory, payload_key, retry
from sync.config import ConfiguredSource, Settings
from sync.config.problems import UsageError as UsageError
from sync.engine import Engine
from sync.intake_health import IntakeHealth
from sync.metrics import Metrics
from sync.pace import slow_down_collector
from sync.process_report import ProcessReport, joined
from sync.proposing import propose
from sync.sources import adapter as adapter
from sync.sources import feed as feed
from sync.sources import lane as lane
from sync.sources import polled as polled

if TYPE_CHECKING:
    from sync.tracing import Tracing  # with the web framework's types, which most commands need not wait for

ROLES = ("api", "schedule", "listen", "work")
"""The roles of a serving process (``sync.service``)."""


RUN_IS_GONE = 0.6
"""The part of ``work.silence`` after which a silent run counts as gone. It must be gone when the queue gives up its worker: the last
heartbeats of the two may be a third of ``work.silence`` apart."""


@dataclass(slots=True)
class Runtime:
    """Everything a running program is made of: settings, database, store, engine. Close when done."""

    settings: Settings
    database: Database
    clock: Callable[[], datetime] = utc_now
    metrics: Metrics = field(default_factory=Metrics)
    configurations: Configurations = field(init=False)
    preferences: Preferences = field(init=False)
    journal: Journal = field(init=False)
    keys: ApiKeys = field(init=False)
    engine: Engine = field(init=False)
    verdicts: HeldReview = field(init=False)
    intake_health: IntakeHealth = field(init=False)
    tracing: Tracing | None = None
    memory: RecentFailures = field(default_factory=lambda: RecentFailures("memory"))
    killed: RecentFailures = field(default_factory=lambda: RecentFailures("process"))
    connections: RecentFailures = field(default_factory=lambda: RecentFailures("connections"))
    undelivered: RecentFailures = field(default_factory=lambda: RecentFailures("alerts"))
    beside: Callable[[], ProcessReport] = ProcessReport
    """What the processes that this one started report."""
    proposes: bool = True
    """Whether it puts its configuration in force. A process that another started leaves that to the other one: it may be told late."""

    def __post_init__(self) -> None:
        self.configurations = Configurations(self.database, self.settings.enterprises)
        sealing = payload_key.sealing(self.settings)
        self.preferences = Preferences(self.database, self.configurations, read_number=e164, sealing=sealing)
        self.journal = Journal(self.database, sealing, self.settings.silence * RUN_IS_GONE, self.settings.room)
        self.keys = ApiKeys(self.database)
        self.verdicts = HeldReview(self.preferences, self.journal)
        self.intake_health = IntakeHealth(logs.logger(), self.clock)
        self.engine = Engine(
            self.database,
            self.preferences,
            self.journal,
            self.clock,
            self.metrics,
            self.settings.backoff,
            self.settings.batch_size,
            self.settings.batch_bytes,
            safeguards=self.settings.safeguards,
        )

    @classmethod
    def open(cls, settings: Settings, *, proposes: bool = True) -> Runtime:
        """Opens the database and puts the configuration in force (``sync.proposing``).

        An empty database gets its schema; one of another version raises ``SchemaOutdated``.
        """
        mapped.look_at_release()
        runtime = cls.open_to_read(settings)
        runtime.proposes = proposes
        with runtime.database.closed_on_failure():
            runtime.propose()
        return runtime

    @classmethod
    def open_to_read(cls, settings: Settings) -> Runtime:
        """Opens the database for reading. The configuration in force is not changed, even if the settings differ."""
        slow_down_collector()
        database = connected(settings)
        with database.closed_on_failure():
            if schema.is_empty(database):
                migrate(database)
            schema.check(database)
            schema.keep_mark(database)
            return cls(settings, database)

    def propose(self) -> None:
        """Puts the configuration in force, unless the safeguard holds it."""
        self._propose(self.settings)
        self.configurations.refresh()

    def reload(self, settings: Settings) -> None:
        """Uses changed settings from now on. What the safeguard holds of them is not in force, as at a start.

        If it raises, the former settings are still in use. What only a start can change is not compared here (``sync.reload``).
        """
        sealing = payload_key.sealing(settings)
        self._propose(settings)
        self.configurations.reconfigure(settings.enterprises)
        self.settings = settings
        self.preferences.replies.sealing = sealing
        self.journal.rejection_store.sealing, self.journal.rejection_store.room = sealing, settings.room
        self.engine.reload(settings.backoff, settings.batch_size, settings.batch_bytes, settings.safeguards)

    def _propose(self, settings: Settings) -> None:
        if self.proposes:
            propose(self.database, settings, self.clock())

    def expire(self, enterprise: str) -> int:
        """Rejects changes that were held for too long; returns the number of sets."""
        return len(self.verdicts.expire(enterprise, after=self.settings.safeguards[enterprise].expires, now=self.clock()))

    def failures(self) -> tuple[FailureState, ...]:
        """What failed within the last minutes, here and in the processes that this one started."""
        return joined((*self.own_failures(), *self.beside().failures))

    def own_failures(self) -> tuple[FailureState, ...]:
        """What failed here within the last minutes."""
        self.look_at_memory()
        return tuple(state for one in self.recent() if (state := one.state()))

    def recent(self) -> tuple[RecentFailures, ...]:
        """All kinds of failures that are counted."""
        return self.database.failures, self.memory, self.killed, self.connections, self.undelivered

    def look_at_memory(self) -> None:
        """Counts that little is left, where that is so."""
        left = memory.available()
        if left is not None and left < memory.LOW:
            self.memory.add(memory.SHORT)

    def close(self) -> None:
        """Sends the last spans and closes the database."""
        if self.tracing:
            self.tracing.close()
        self.database.close()

    def feed(self, source: str) -> ConfiguredSource:
        """One source. Raises ``UsageError`` if it is not configured."""
        return feed(self.settings, source)

    def polled(self, feed: ConfiguredSource) -> Adapter:
        """The adapter of a source that is read, with its notes of earlier runs. Raises ``UsageError`` for a listener."""
        found = polled(feed)
        if isinstance(found, HasNotes):
            found.notes = SourceNotes(self.database, feed.name, feed.enterprise)
        return found


def migrate(database: Database) -> None:
    """Creates or upgrades all tables: the store's, and with PostgreSQL those of the shared queue."""
    schema.migrate(database)
    if not database.is_sqlite:
        from sync import queue_tables  # imports procrastinate, which no other command needs

        queue_tables.migrate(database)


def connected(settings: Settings) -> Database:
    """The database, after a connection test. Raises ``UsageError`` if it does not answer, or cannot keep every name."""
    try:
        database = Database.open(settings.database)
    except ValueError as error:
        raise UsageError(f"database in {settings.file}: {error}") from error
    with database.closed_on_failure():
        if problem := _problem(database):
            raise UsageError(f"{settings.file}: {problem}")
    return database


def _problem(database: Database) -> str:
    """Why this database cannot be used, and what to do; an empty text if it can. Connects."""
    try:
        schema.is_empty(database)
        return encoding.problem(database)
    except Exception as error:
        if retry.passes(error):
            return outage.explanation(error) or outage.GONE
        raise
