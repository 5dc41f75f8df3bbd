"""Why the database does not answer and what to do, as one sentence, from its driver's error. Pure.

The driver is recognized by the attributes of its errors (``sqlite_errorcode``, ``sqlstate``), so none is imported. The texts of errors
are never repeated: they name hosts, users and values.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping

from store.errors import DocumentDamaged

FULL = "the database's disk is full: free up space, then try again. Nothing was written"
READ_ONLY = "the database is read-only: give this user write permission (file and folder), or connect to the primary server"
BUSY = "the database is locked by another program: stop it, or try again when it is done"
DENIED = "the database denied access: check the permissions of the user named in 'database'"
GONE = "the database cannot be reached: check that it is running, and the host, port, user and password in 'database'"
ABSENT = "the server has no database of that name: create it, or correct 'database'"
NO_FILE = "the database file cannot be opened: check that its folder exists and that this program's user may read and write there"
NO_DATABASE = "the file that 'database' names is not an SQLite database, or is damaged: restore it from a backup, or use another file"
DISK = "the database's disk reports an error: check the system log and the backup"
MOVED = "the database file was deleted, moved or replaced while in use. Reads and writes stopped. Put it back, or restart"
LOST = "the database file is gone or empty: restore it from a backup, or delete the .created file next to it to start with an empty one"
CLOCK = "this machine's clock differs from the database's by minutes: set it (NTP). Until then nothing is accepted and EMRs resend"
PAUSED = "this program stalled during a transaction (paused machine?), so the database ended it: nothing was written"
WAITED = (
    "a write waited too long for a lock that another session held: check for frozen programs, long transactions and the database's load"
)
LATE = "the database timed out: check its load and its log, then try again"
DAMAGED = "the database is damaged: stop the service, check the system log and the database log, and restore a backup"
MEMORY = "the database is out of memory: check its server, then try again"
SHORT = "the database is short of disk, memory or connections: check its server, then try again"
ENDED = "the database cancelled the statement (operator, timeout or shutdown): try again when it is back"
OWN_FAULT = "the database reports an internal error: check its log and the backup"
NO_SCHEMA = "the database does not have this program's tables: restore it, or run emr-sync migrate"
CROWDED = "the database accepts no more connections: raise its max_connections, or run fewer processes"

SQLITE: Mapping[int, str] = {
    3: DENIED,
    5: BUSY,
    6: BUSY,
    7: MEMORY,
    8: READ_ONLY,
    9: ENDED,
    10: DISK,
    11: NO_DATABASE,
    13: FULL,
    14: NO_FILE,
    15: BUSY,
    22: DISK,
    23: DENIED,
    24: NO_DATABASE,
    26: NO_DATABASE,
}
"""By SQLite's primary result codes (sqlite.org/rescode.html)."""

POSTGRESQL: Mapping[str, str] = {
    "53100": FULL,
    "25006": READ_ONLY,
    "25P03": PAUSED,
    "25P04": PAUSED,
    "42501": DENIED,
    "28000": DENIED,
    "28P01": DENIED,
    "3D000": ABSENT,
    "53300": CROWDED,
    "55P03": BUSY,
    "57014": LATE,
    "57P01": GONE,
    "57P02": GONE,
    "57P03": GONE,
    "57P05": GONE,
    "58030": DISK,
    "53200": MEMORY,
    "3F000": NO_SCHEMA,
    "42P01": NO_SCHEMA,
    "42703": NO_SCHEMA,
    "XX001": DAMAGED,
    "XX002": DAMAGED,
}
"""By SQLSTATE (PostgreSQL manual, appendix A)."""

CLASSES: Mapping[str, str] = {"08": GONE, "53": SHORT, "57": ENDED, "58": DISK, "XX": OWN_FAULT}
"""By the class of the SQLSTATE (its first two characters) where the state is not listed. None of these is about the stored data."""

FILES: Mapping[int, str] = {
    errno.ENOSPC: "the disk is full: free up space, then try again",
    errno.EDQUOT: "the disk quota is exceeded: free up space, then try again",
    errno.EROFS: "the disk is read-only: mount it writable, or store the file elsewhere",
}
UNREACHED = frozenset({"OperationalError", "InterfaceError", "ConnectionTimeout"})


class Unavailable(Exception):
    """The database cannot be used now, as this program found out itself. Its text is the explanation."""


def explanation(error: BaseException) -> str:
    """The explanation of an error; empty if it is not a fault of the database or the disk."""
    chain = list(_chain(error))
    for one in chain:
        if sentence := _sentence(one):
            return sentence
    return GONE if any(_is_connection(one) for one in chain) else ""


def fails_all(error: BaseException) -> bool:
    """Whether the database would fail at any other question, too. Damage may concern one patient only."""
    return explanation(error) not in ("", DAMAGED)


def _sentence(error: BaseException) -> str:
    if isinstance(error, Unavailable):
        return str(error)
    if isinstance(error, DocumentDamaged):
        return DAMAGED
    code, state = getattr(error, "sqlite_errorcode", None), getattr(error, "sqlstate", None)
    if isinstance(code, int):
        return SQLITE.get(code & 0xFF, "")
    if isinstance(state, str):
        return POSTGRESQL.get(state) or CLASSES.get(state[:2], "")
    return FILES.get(error.errno or 0, "") if isinstance(error, OSError) else ""


def _is_connection(error: BaseException) -> bool:
    """Whether the server did not answer. PostgreSQL's driver has no code for that."""
    return type(error).__module__.startswith("psycopg") and type(error).__name__ in UNREACHED and getattr(error, "sqlstate", "") is None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, the driver's error that SQLAlchemy wrapped in it, and the errors it was raised from."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop(0)
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            pending += [getattr(one, "orig", None), one.__cause__]
