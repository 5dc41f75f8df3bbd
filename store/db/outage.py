"""Why the database does not answer, from what its driver tells: a sentence with what to do. Pure.

Drivers are told by what their errors carry (``sqlite_errorcode``, ``sqlstate``), so none of them is imported. Their texts are never
repeated: they name hosts, users and values.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping

from store.errors import DocumentDamaged

FULL = "the disk of the database is full: make room, then try again. Nothing of this was written"
READ_ONLY = "the database is read-only: give this program's user the right to write to it (file and folder), or name the primary server"
BUSY = "the database is locked by another program: end that, or try again when it is done"
DENIED = "the database denies access: check the rights of the user named in 'database'"
GONE = "the database cannot be reached: check that it runs, and host, port, user and password in 'database'"
ABSENT = "there is no database of that name on the server: create it, or correct 'database'"
NO_FILE = "the database file cannot be opened: check that its folder exists and that this program's user may read and write there"
NO_DATABASE = "the file that 'database' names is not an SQLite database, or is damaged: restore it from a backup, or name another"
DISK = "the disk of the database reports an error: look at the system's log, and at the backup"
MOVED = "the database file was deleted, moved or replaced under this program: nothing more is read or written. Put it back, or restart"
LOST = "the database file is gone or empty: restore it from a backup, or delete the file beside it that ends in .created to begin anew"
CLOCK = "this machine's clock is minutes away from the database's: set it (NTP). Until then nothing is taken in, and EMRs send again"
PAUSED = "this program stood still in the middle of a transaction (a paused machine?), so the database ended it: nothing of it is written"
LATE = "the database took too long and gave up: look at its load and its log, then try again"
DAMAGED = "the database is damaged: stop the service, look at the system's log and the database's, and restore a backup"
MEMORY = "the database has no memory left: look at its server, then try again"
SHORT = "the database is short of disk, memory or connections: look at its server, then try again"
ENDED = "the database ended the statement (by an operator, a timeout, or because it stops): try again when it is back"
OWN_FAULT = "the database reports a fault of its own: look at its log, and at the backup"
NO_SCHEMA = "the database has not the tables of this program: restore it, or run emr-sync migrate"
CROWDED = "the database takes no more connections: raise its max_connections, or run fewer processes"

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
"""By the class of the SQLSTATE, its first two characters, where the state is not listed: none of these is about what is stored."""

FILES: Mapping[int, str] = {
    errno.ENOSPC: "the disk is full: make room, then try again",
    errno.EDQUOT: "the disk quota is used up: make room, then try again",
    errno.EROFS: "the disk is read-only: mount it for writing, or keep the file elsewhere",
}
UNREACHED = frozenset({"OperationalError", "InterfaceError", "ConnectionTimeout"})


class Unavailable(Exception):
    """The database cannot be used now, as we found ourselves. Its text is the sentence."""


def told(error: BaseException) -> str:
    """The sentence; empty where the error is not the database's or disk's own trouble."""
    chain = list(_chain(error))
    for one in chain:
        if sentence := _known(one):
            return sentence
    return GONE if any(_is_connection(one) for one in chain) else ""


def _known(error: BaseException) -> str:
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
    """PostgreSQL's driver has no code for what happens before, or instead of, an answer of the server."""
    return type(error).__module__.startswith("psycopg") and type(error).__name__ in UNREACHED and getattr(error, "sqlstate", "") is None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, what SQLAlchemy wraps in it, and what it was raised from."""
    seen: set[int] = set()
    following: list[BaseException | None] = [error]
    while following:
        one = following.pop(0)
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            following += [getattr(one, "orig", None), one.__cause__]
