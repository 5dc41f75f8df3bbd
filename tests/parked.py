"""Connections to PostgreSQL that outlive the engine of a test, because a new one costs the server more than most tests do.

A pool that closes a healthy connection parks it here, without the session's settings, locks and listeners. The next engine with the same
arguments gets it instead of a new one. A forked process has none of its parent's.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg.pq import ExecStatus, TransactionStatus
from sqlalchemy import Engine, event
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

MOST = 3
"""Parked connections with the same arguments. The server takes a hundred of all workers."""
AFRESH = """CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; SELECT pg_advisory_unlock_all(); DISCARD TEMP;
    DISCARD SEQUENCES"""
"""All of DISCARD ALL (PostgreSQL manual, "DISCARD") but for prepared statements, of which the driver keeps account."""

Arguments = tuple[int, str]
"""A process, and the arguments of its connection."""


class Parked:
    """Parked connections, of this process and perhaps of those that forked it. It gives out its own."""

    def __init__(self) -> None:
        self._idle: defaultdict[Arguments, list[psycopg.Connection[Any]]] = defaultdict(list)
        self._opened: WeakKeyDictionary[psycopg.Connection[Any], Arguments] = WeakKeyDictionary()
        self._lock = threading.RLock()

    def connect(self, dialect: Any, _record: object, arguments: Sequence[Any], named: Mapping[str, Any]) -> Any:
        """A connection for a pool: a parked one, or a new one. None for a database that is not PostgreSQL."""
        if not isinstance(dialect, PGDialect_psycopg):
            return None
        plain = sorted((name, value) for name, value in named.items() if name != "context")  # the adapters, alike in all dialects
        key = os.getpid(), repr((arguments, plain))
        while connection := self._taken(key):
            if healthy(connection):
                return connection
            connection.close()
        connection = dialect.connect(*arguments, **named)
        with self._lock:
            self._opened[connection] = key
        return connection

    def _taken(self, key: Arguments) -> psycopg.Connection[Any] | None:
        with self._lock:
            return self._idle[key].pop() if self._idle[key] else None

    def park(self, connection: psycopg.Connection[Any]) -> None:
        """Keeps a connection that a pool closes, if another engine could use it."""
        with self._lock:
            key = self._opened.get(connection)
            if key and key[0] == os.getpid() and len(self._idle[key]) < MOST and _as_new(connection):
                self._idle[key].append(connection)
                return
        connection.close()

    def pids(self) -> list[int]:
        """The server's processes of the parked connections."""
        with self._lock:
            return [one.info.backend_pid for idle in self._idle.values() for one in idle]

    def close(self, database: str | None = None) -> None:
        """Closes the parked connections to a database, or all."""
        with self._lock:
            for idle in self._idle.values():
                for one in [one for one in idle if database in (None, one.info.dbname)]:
                    idle.remove(one)
                    one.close()


PARKED = Parked()


def healthy(connection: psycopg.Connection[Any]) -> bool:
    """Whether it is idle, and the server answers: it may have been told to end the connection."""
    try:
        idle = not connection.closed and connection.info.transaction_status == TransactionStatus.IDLE
        return idle and connection.pgconn.exec_(b"").status == ExecStatus.EMPTY_QUERY
    except psycopg.OperationalError:
        return False


def _as_new(connection: psycopg.Connection[Any]) -> bool:
    if not healthy(connection):
        return False
    try:
        connection.isolation_level, connection.read_only = None, None
        connection.autocommit = True
        connection.execute(AFRESH)
        connection.autocommit = False
    except psycopg.Error:
        return False
    return True


def _park(_dialect: object, connection: psycopg.Connection[Any]) -> None:
    PARKED.park(connection)


def _close(_dialect: object, connection: psycopg.Connection[Any]) -> None:
    connection.close()


def begin() -> None:
    """From now on, engines of this process park the connections that their pools close, and close those that they give up."""
    event.listen(Engine, "do_connect", PARKED.connect)
    PGDialect_psycopg.do_close, PGDialect_psycopg.do_terminate = _park, _close
