"""Reads of one thread over a connection that stays open in between: taking one from the pool costs more than a small query."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from sqlalchemy import Connection

from store.db.database import Database
from store.db.limits import POOL


class KeptConnection:
    """A context manager that returns the connection, like ``Database.read``. For one thread at a time.

    After a failure, and when it is as old as a pooled one may get, the next read opens another.
    """

    def __init__(self, database: Database, ticks: Callable[[], float] = time.monotonic) -> None:
        self.database, self.ticks = database, ticks
        self._connection: Connection | None = None
        self._until = 0.0

    def __enter__(self) -> Connection:
        """Begins to read. Each statement sees what is committed."""
        try:
            self.database.check_file()
            if self._connection is None or self.ticks() >= self._until:
                self._open()
            assert self._connection is not None
        except Exception as error:
            self._failed(error)
            raise
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ends the read. Its failure is counted as every other of the database's."""
        if error is not None:
            self._failed(error)

    def close(self) -> None:
        """Returns the connection to the pool."""
        kept, self._connection = self._connection, None
        if kept is not None:
            kept.close()

    def _open(self) -> None:
        self.close()
        self._connection = self.database.connection_to_read()
        self._until = self.ticks() + POOL["pool_recycle"]

    def _failed(self, error: BaseException) -> None:
        self.database.count_failure(error)
        self.close()
