"""How long to wait for the database, in seconds. Pure.

Without limits, a process that froze or a machine that lost power inside a transaction would keep the enterprise's lock forever. A
connection to a server that is gone would wait for as long as the operating system tries (a quarter of an hour or more).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

POOL = {"pool_size": 10, "max_overflow": 20, "pool_recycle": 1800}


@dataclass(frozen=True, slots=True)
class DatabaseLimits:
    """The limits. ``idle`` is shorter than ``lock``: a caller that waits for a frozen session still gets the lock once it is ended."""

    connect: float = 5
    lock: float = 10
    """How long to wait for a lock; then the caller is told that the database is busy."""
    slow: float = 5
    """A wait for a lock from which on operators are told, although nothing failed."""
    idle: float = 8
    """Between two statements of a transaction; then PostgreSQL ends the connection and releases its locks."""
    statement: float = 300
    network: float = 10
    """How long a peer may acknowledge nothing before it counts as gone, on both sides of the connection."""

    def in_sqlite(self) -> str:
        """The pragma for the one limit that SQLite has."""
        return f"PRAGMA busy_timeout={_milliseconds(self.lock)}"

    def in_postgresql(self, url_query: Mapping[str, Any]) -> dict[str, Any]:
        """Connection arguments for libpq (PostgreSQL manual, 34.1.2). Those in the database URL (``url_query``) take precedence."""
        defaults = {
            "connect_timeout": round(self.connect),
            "keepalives": 1,
            "keepalives_idle": round(self.network / 2),
            "keepalives_interval": 1,
            "keepalives_count": round(self.network / 2),
            "tcp_user_timeout": _milliseconds(self.network),
        }
        options = " ".join((self._session_options(), str(url_query.get("options", "")))).strip()
        given = {name: value for name, value in defaults.items() if name not in url_query}
        return given | {"options": options, "client_encoding": "utf8"}

    def _session_options(self) -> str:
        """Settings of the server's session. With the last four it notices that we are gone; a Unix socket ignores them."""
        settings = {
            "lock_timeout": _milliseconds(self.lock),
            "idle_in_transaction_session_timeout": _milliseconds(self.idle),
            "statement_timeout": _milliseconds(self.statement),
            "tcp_user_timeout": _milliseconds(self.network),
            "tcp_keepalives_idle": round(self.network / 2),
            "tcp_keepalives_interval": 1,
            "tcp_keepalives_count": round(self.network / 2),
        }
        return " ".join(f"-c {name}={value}" for name, value in settings.items())


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


LIMITS = DatabaseLimits()
