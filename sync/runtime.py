"""Everything that is built from the settings, once per process: the store, the engine, an adapter per source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from adapters.base import Adapter
from adapters.mapping.telecom import e164
from adapters.notes import KeepsNotes
from store.db import outage, schema
from store.db.database import Database
from store.db.recent_failures import FailureState, RecentFailures
from store.holds.configuration import Configurations
from store.holds.review import Verdicts
from store.patients.preferences import Preferences
from store.runs.runs import Journal
from store.runs.source_notes import SourceNotes
from store.users.api_keys import ApiKeys
from sync import logs, memory, payload_key, retry
from sync.config import ConfiguredSource, Settings
from sync.config.problems import UsageError as UsageError
from sync.engine import Engine
from sync.intake_health import IntakeHealth
from sync.metrics import Metrics
from sync.pace import settle_collector
from sync.proposing import propose
from sync.sources import adapter as adapter
from sync.sources import feed as feed
from sync.sources import lane as lane
from sync.sources import polled as polled

ROLES = ("api", "schedule", "listen", "work")
"""What a serving process can do (``sync.service``)."""


RUN_IS_GONE = 0.6
"""Of ``work.silence``: when the queue misses a worker, a third of it after its last sign at the earliest, its run counts as gone, too."""


def utc_now() -> datetime:
    """The clock of the program; tests hand in their own."""
    return datetime.now(UTC)


@dataclass(slots=True)
class Parts:
    """The parts of a running program. Close when done."""

    settings: Settings
    database: Database
    clock: Callable[[], datetime] = utc_now
    metrics: Metrics = field(default_factory=Metrics)
    configurations: Configurations = field(init=False)
    preferences: Preferences = field(init=False)
    journal: Journal = field(init=False)
    keys: ApiKeys = field(init=False)
    engine: Engine = field(init=False)
    verdicts: Verdicts = field(init=False)
    intake_health: IntakeHealth = field(init=False)
    memory: RecentFailures = field(default_factory=lambda: RecentFailures("memory"))

    def __post_init__(self) -> None:
        self.configurations = Configurations(self.database, self.settings.enterprises)
        sealing = payload_key.sealing(self.settings)
        self.preferences = Preferences(self.database, self.configurations, read_number=e164, sealing=sealing)
        self.journal = Journal(self.database, sealing, self.settings.silence * RUN_IS_GONE, self.settings.room)
        self.keys = ApiKeys(self.database)
        self.verdicts = Verdicts(self.preferences, self.journal)
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
    def open(cls, settings: Settings) -> Parts:
        """Opens the database and brings the configuration into force (``sync.proposing``).

        An empty database gets its schema; one of another version raises ``SchemaOutdated``.
        """
        parts = cls.looking(settings)
        with parts.database.closed_on_failure():
            parts.propose()
        return parts

    @classmethod
    def looking(cls, settings: Settings) -> Parts:
        """The same for who looks only: what is in force stays, whatever this configuration says."""
        settle_collector()
        database = connected(settings)
        with database.closed_on_failure():
            if schema.is_empty(database):
                migrate(database)
            schema.check(database)
            schema.keep_mark(database)
            return cls(settings, database)

    def propose(self) -> None:
        """Brings the configuration into force, or has the safeguard hold it."""
        propose(self.database, self.settings, self.clock())
        self.configurations.look()

    def expire(self, enterprise: str) -> int:
        """Rejects what the safeguard held for longer than a person may take; how many sets."""
        return len(self.verdicts.expire(enterprise, after=self.settings.safeguards[enterprise].expires, now=self.clock()))

    def failures(self) -> tuple[FailureState, ...]:
        """What failed here within the last minutes."""
        self.look_at_memory()
        return tuple(state for one in (self.database.failures, self.memory) if (state := one.state()))

    def look_at_memory(self) -> None:
        """Counts that little is left, where that is so."""
        left = memory.available()
        if left is not None and left < memory.LOW:
            self.memory.add(memory.SHORT)

    def close(self) -> None:
        """Closes the database."""
        self.database.close()

    def feed(self, source: str) -> ConfiguredSource:
        """One source. Raises ``UsageError`` when it is not configured."""
        return feed(self.settings, source)

    def polled(self, feed: ConfiguredSource) -> Adapter:
        """The adapter of a source that is read, with what it noted in earlier runs. Raises ``UsageError`` for one that calls us."""
        found = polled(feed)
        if isinstance(found, KeepsNotes):
            found.notes = SourceNotes(self.database, feed.name, feed.enterprise)
        return found


def migrate(database: Database) -> None:
    """Creates or upgrades all tables: the store's, and on PostgreSQL those of the queue that worker machines share."""
    schema.migrate(database)
    if not database.is_sqlite:
        from sync import queue_tables  # procrastinate: no other command should wait for it

        queue_tables.migrate(database)


def connected(settings: Settings) -> Database:
    """The database, known to answer. Raises ``UsageError`` when it does not."""
    try:
        database = Database.open(settings.database)
    except ValueError as error:
        raise UsageError(f"database in {settings.file}: {error}") from error
    try:
        schema.is_empty(database)
    except Exception as error:
        database.close()
        if retry.passes(error):
            raise UsageError(f"{settings.file}: {outage.told(error) or outage.GONE}") from error
        raise
    return database
