"""Whether a feed of changes goes on where its reader left it.

After a restore from a backup, the numbers of lost changes are given again to others. A reader that went on by number alone would
miss those. So each page names its epoch: a fingerprint of the change at its end, which the reader sends back.
"""

from __future__ import annotations

from hashlib import blake2b

from sqlalchemy import Connection

from store.db.database import Database
from store.domain.documents import instant
from store.errors import FeedRestarted

LAST = "SELECT COALESCE(MAX(seq), 0) FROM changes WHERE enterprise = ?"
CHANGE = "SELECT seq, patient_id, version, at, evidence_id FROM changes WHERE enterprise = ? AND seq = ?"
BEGINNING = "beginning"


def check(database: Database, enterprise: str, after: int, epoch: str) -> None:
    """Raises ``FeedRestarted`` where ``after`` was not given by this feed, or its change is not the one of ``epoch``."""
    with database.read() as connection:
        ((last,),) = database.select(connection, LAST, [enterprise])
        if after > last or (epoch and after and epoch != _epoch(database, connection, enterprise, after)):
            raise FeedRestarted("the feed cannot continue from there: discard your copy and read again from after=0")


def epoch(database: Database, enterprise: str, seq: int) -> str:
    """The fingerprint of the change at this number."""
    with database.read() as connection:
        return _epoch(database, connection, enterprise, seq)


def _epoch(database: Database, connection: Connection, enterprise: str, seq: int) -> str:
    found = database.select(connection, CHANGE, [enterprise, seq]) if seq else []
    if not found:
        return BEGINNING
    number, patient, version, at, evidence = found[0]
    written = f"{number}|{patient}|{version}|{instant(at).timestamp()}|{evidence}"
    return blake2b(written.encode(), digest_size=8, person=b"emr-sync-feed").hexdigest()
