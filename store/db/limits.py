"""How long the database may keep us waiting. Pure; seconds.

Without limits a peer that froze, or a machine that lost its power inside a transaction, keeps the enterprise's lock for ever, and a
connection to a server that is gone is waited on for as long as the operating system tries (a quarter of an hour and more).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

POOL = {"pool_size": 10, "max_overflow": 20, "pool_recycle": 1800}


@dataclass(frozen=True, slots=True)
class DatabaseLimits:
    """``idle`` is shorter than ``lock``: whoever waits for a peer that froze still gets the lock when the peer is ended."""

    connect: float = 5
    lock: float = 10
    """Until a lock that another holds is given up: the caller then hears that the database is busy."""
    slow: float = 5
    """From so long a wait for such a lock on, operators are told of it though nothing failed."""
    idle: float = 8
    """Between two statements of one transaction; PostgreSQL then ends the connection, and its locks."""
    statement: float = 300
    network: float = 10
    """Until a peer that acknowledges nothing counts as gone, on both sides of the connection."""

    def in_sqlite(self) -> str:
        """The limit that SQLite knows."""
        return f"PRAGMA busy_timeout={_milliseconds(self.lock)}"

    def in_postgresql(self, written: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments for libpq (PostgreSQL manual, 34.1.2). What is ``written`` in the address counts more."""
        ours = {
            "connect_timeout": round(self.connect),
            "keepalives": 1,
            "keepalives_idle": round(self.network / 2),
            "keepalives_interval": 1,
            "keepalives_count": round(self.network / 2),
            "tcp_user_timeout": _milliseconds(self.network),
        }
        options = " ".join((self._of_the_session(), str(written.get("options", "")))).strip()
        return {name: value for name, value in ours.items() if name not in written} | {"options": options}

    def _of_the_session(self) -> str:
        """What the server is told; the last four are how it finds out that we are gone. A Unix socket ignores them."""
        told = {
            "lock_timeout": _milliseconds(self.lock),
            "idle_in_transaction_session_timeout": _milliseconds(self.idle),
            "statement_timeout": _milliseconds(self.statement),
            "tcp_user_timeout": _milliseconds(self.network),
            "tcp_keepalives_idle": round(self.network / 2),
            "tcp_keepalives_interval": 1,
            "tcp_keepalives_count": round(self.network / 2),
        }
        return " ".join(f"-c {name}={value}" for name, value in told.items())


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


LIMITS = DatabaseLimits()
