"""Checks of the database itself. Each result tells what to do if it failed. Nothing is changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from store.db import clock_skew, outage, schema
from store.db.database import Database
from store.db.sqlite_file import OWNER_ONLY
from store.errors import PayloadUnreadable, SchemaOutdated
from store.runs.encryption import Sealing
from store.runs.source_checks import Checked

TABLES = ("patients", "changes", "runs", "chain_links")
RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
DAMAGED = "is damaged ({count} errors): stop every process, keep the file, and restore a backup"
SHOWN = 100
NEWEST = "SELECT key_id, id, {body} FROM {table} WHERE id IN (SELECT max(id) FROM {table} WHERE key_id IS NOT NULL GROUP BY key_id)"
SAMPLES = " UNION ALL ".join(NEWEST.format(body=body, table=table) for body, table in (("payload", "rejections"), ("body", "sms_replies")))
Check = Callable[[Database], Checked]


def checked(database: Database, names: Collection[str] | None = None) -> Iterator[Checked]:
    """Runs the checks, or those of ``names``, and yields each result. Stops at the first that the database does not answer."""
    for name, check in checks(database).items():
        if names is not None and name not in names:
            continue
        try:
            yield check(database)
        except SchemaOutdated as error:
            yield Checked(name, False, str(error))
            return
        except Exception as error:  # its text may name hosts and users
            yield Checked(name, False, outage.explanation(error) or f"cannot be checked ({type(error).__name__}): see the database log")
            return


def checks(database: Database) -> dict[str, Check]:
    """The checks by name, in order."""
    first: dict[str, Check] = {"reachable": _reachable}
    if database.is_sqlite:
        return first | {"integrity": _integrity, "schema": _schema, "references": _references, "rights": _file_rights, "writing": _writing}
    return first | {"schema": _schema, "rights": _table_rights, "writing": _writing, "clock": _clock}


def _reachable(database: Database) -> Checked:
    sql = "SELECT sqlite_version()" if database.is_sqlite else "SHOW server_version"
    with database.read() as connection:
        (version,) = database.select(connection, sql, [])[0]
    return Checked("reachable", True, f"{'SQLite' if database.is_sqlite else 'PostgreSQL'} {version}")


def _integrity(database: Database) -> Checked:
    with database.read() as connection:
        found = database.select(connection, f"PRAGMA integrity_check({SHOWN})", [])
    return _damage("integrity", 0 if found == [("ok",)] else len(found))


def _references(database: Database) -> Checked:
    with database.read() as connection:
        return _damage("references", len(database.select(connection, "PRAGMA foreign_key_check", [])))


def _damage(name: str, errors: int) -> Checked:
    return Checked(name, not errors, "no errors found" if not errors else DAMAGED.format(count=errors))


def _schema(database: Database) -> Checked:
    schema.check(database)
    return Checked("schema", True, f"version {schema.head()}, matches this program")


def _file_rights(database: Database) -> Checked:
    path = database.file.path if database.file else None
    if path is None or not os.access(path.parent, os.W_OK) or not os.access(path, os.W_OK):
        return Checked("rights", False, outage.READ_ONLY)
    if path.stat().st_mode & 0o777 & ~OWNER_ONLY:
        return Checked("rights", False, "other users of this machine can read the file: chmod 600 it and the files next to it")
    return Checked("rights", True, "only this program's user can read and write it")


def _table_rights(database: Database) -> Checked:
    with database.read() as connection:
        allowed = all(
            database.select(connection, "SELECT has_table_privilege(?::text, ?::text)", [table, right])[0][0]
            for table in TABLES
            for right in RIGHTS
        )
    return Checked("rights", allowed, "this user can read and write" if allowed else outage.DENIED)


def _writing(database: Database) -> Checked:
    """Takes a lock as every write does, under a name that no enterprise has. Changes nothing."""
    with database.write("check-database") as transaction:
        readonly = not database.is_sqlite and database.select(transaction, "SHOW transaction_read_only", []) == [("on",)]
    return Checked("writing", not readonly, outage.READ_ONLY if readonly else "writes are possible")


def _clock(database: Database) -> Checked:
    skew = database.compare_clocks()
    detail = f"{skew.total_seconds():+.1f} s off the database's clock"
    ok = not clock_skew.is_noticed(skew)
    return Checked("clock", ok, detail if ok else f"{detail}: set this machine's clock (NTP)")


class PayloadKeys(NamedTuple):
    """The names of the keys that kept payloads need, and of those that are missing or are not the keys that encrypted them."""

    needed: frozenset[str]
    missing: tuple[str, ...]
    replaced: tuple[str, ...]


def payload_keys(database: Database, sealing: Sealing | None) -> PayloadKeys:
    """Decrypts the newest payload of each key: a file that was replaced has the same name as before."""
    with database.read() as connection:
        samples = database.select(connection, SAMPLES, [])
    needed = frozenset(key for key, _, _ in samples)
    missing = needed.difference(sealing.keys if sealing else ())
    wrong = {key for key, row, sealed in samples if sealing and key not in missing and not _opens(sealing, bytes(sealed), row, key)}
    return PayloadKeys(needed, tuple(sorted(missing)), tuple(sorted(wrong)))


def _opens(sealing: Sealing, sealed: bytes, row: str, key: str) -> bool:
    try:
        sealing.open(sealed, row, key)
    except PayloadUnreadable:
        return False
    return True
