"""The SQLite file: how it is opened, and the check that it is still there.

A process can go on writing to a file that was deleted or replaced; what it writes is lost with its last connection. So each transaction
checks that the file at the path is the one that was opened. SQLite also creates a file that it does not find. So a small file beside it
marks that there was a database, and an empty one is never created in its place.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import Engine
from sqlalchemy.pool import ConnectionPoolEntry

from store.db.limits import DatabaseLimits
from store.db.outage import LOST, MOVED, Unavailable

PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA cache_size=-65536",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA wal_autocheckpoint=4000",  # 16 MB: pages that many commits touch go to the file once
)
NO_TIMEOUT = "PRAGMA busy_timeout=2147483647"
MARK = ".created"
MARK_TEXT = "The database beside this file belongs to emr-sync. If it is missing, emr-sync does not create an empty one: restore it from\n"
MARK_TEXT += "a backup. Delete this file only to start with an empty database. All known opt-outs are lost then.\n"
OWNER_ONLY = 0o600


class SqliteFile:
    """The database file that this process opened first. Thread-safe."""

    def __init__(self, path: str) -> None:
        self.path, self.mark = Path(path), Path(path + MARK)
        self._opened: tuple[int, int] | None = None
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raises :class:`Unavailable` when the opened file is gone from its path or was replaced."""
        if self._opened is not None and _identity(self.path) != self._opened:
            raise Unavailable(MOVED)

    def keep_mark(self) -> None:
        """Marks that there is a database."""
        if not self.mark.exists():
            with suppress(OSError):  # without write permission SQLite cannot create a file either
                self.mark.write_text(MARK_TEXT, "ascii")

    def check_lost(self) -> None:
        """Raises :class:`Unavailable` if there was a database. Called when the file is missing or empty."""
        if self.mark.exists():
            raise Unavailable(LOST)

    def engine(self, url: str, limits: DatabaseLimits) -> Engine:
        """An engine for the file at ``url``. On first use it opens the file, or creates it (readable by its owner only)."""
        engine = create_engine(url, pool_size=10, max_overflow=20, pool_timeout=limits.lock)

        @event.listens_for(engine, "do_connect")
        def look(_dialect: Any, _record: Any, _arguments: Any, _named: Any) -> None:
            self._before_opening()

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, _record: ConnectionPoolEntry) -> None:
            connection.isolation_level = None  # transactions begin where we say so, below
            try:
                for pragma in (limits.in_sqlite(), *PRAGMAS):
                    connection.execute(pragma)
                self._after_opening()
            except Exception:
                connection.close()  # the pool does not have it yet, so nothing else closes it
                raise

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            options = connection.get_execution_options()
            if not options.get("unbounded"):
                connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("immediate") else "BEGIN")
                return
            try:
                connection.exec_driver_sql(NO_TIMEOUT)
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            finally:
                connection.exec_driver_sql(limits.in_sqlite())

        return engine

    def _before_opening(self) -> None:
        with self._lock:
            self.check()
            if self._opened is None and _identity(self.path) is None:
                self.check_lost()
                with suppress(OSError):  # SQLite's own error describes a wrong path better
                    os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, OWNER_ONLY))

    def _after_opening(self) -> None:
        with self._lock:
            if self._opened is None:
                self._opened = _identity(self.path)
            self.check()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
