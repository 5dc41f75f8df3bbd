"""The configuration of an enterprise that was in force at an earlier time: whether it synced, its sources by rank, and what waited."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from store.configuration.basis import parse
from store.database import Database
from store.enterprise import Enterprise

IN_FORCE = "SELECT basis, at <= ? FROM bases WHERE enterprise = ? AND state = 'in_force' ORDER BY seq"
WAITED = """SELECT b.basis FROM bases b JOIN runs r ON r.id = b.run_id
 WHERE b.enterprise = ? AND b.at <= ? AND (r.finished IS NULL OR r.finished > ?) ORDER BY b.seq DESC LIMIT 1"""


def former(database: Database, connection: Connection, enterprise: Enterprise, at: datetime) -> Enterprise:
    """The enterprise by what was in force ``at`` that time; by the first that was written down for all time before it.

    Everything else of it (names, time zone) is as it is now.
    """
    then = database.bound(at)
    written = database.select(connection, IN_FORCE, [then, enterprise.name])
    if not written:
        return enterprise
    basis = next((text for text, begun in reversed(written) if begun), written[0][0])
    plain = replace(enterprise, waiting=None)
    waited = database.select(connection, WAITED, [enterprise.name, then, then])
    return replace(plain.under(parse(basis)), waiting=plain.under(parse(waited[0][0])) if waited else None)
