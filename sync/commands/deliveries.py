"""What ``check SOURCE`` says about push and write-back of a source: how they stand in the database. Nothing is sent."""

from __future__ import annotations

from collections.abc import Iterator

from adapters.base import Finding
from store.db.database import Database
from store.patients.write_backs import WriteBacks
from store.runs.pushed_reads import PushedReads
from sync.commands import output
from sync.config import ConfiguredSource
from sync.config.write_back import WORKLIST

PUSH, WRITE_BACK = "push", "write-back"
NO_EVENT = "no event yet; check the subscription in the EMR: its address, status, and secret or token"


def deliveries(feed: ConfiguredSource, database: Database) -> Iterator[Finding]:
    """Push and write-back of a source, as far as they are configured."""
    if feed.push:
        yield _push(feed.name, database)
    if feed.write_back:
        yield _write_back(feed.name, feed.write_back.sink, database)


def _push(source: str, database: Database) -> Finding:
    record, waiting = PushedReads(database).record(source)
    event = f"last event {output.word(record.event)}" if record.event else NO_EVENT
    missed = f"{output.number(record.missed, 'change')} missed and found by a pull, last {output.word(record.missed_at)}"
    gaps = [f"{output.number(record.gaps, 'gap')} in the event numbers"] if record.gaps else []
    reads = [f"{output.number(waiting, 'patient')} to read"] if waiting else []
    return Finding(PUSH, True, "; ".join([event, missed if record.missed else "nothing missed", *gaps, *reads]))


def _write_back(source: str, sink: str, database: Database) -> Finding:
    """Not in order if the EMR did not take an opt-out, because a person must act then."""
    found = WriteBacks(database).open(source)
    waiting = f"{output.number(found.waiting, 'opt-out')} waiting" if found.waiting else "none waiting"
    typed = " for staff, on the EMR worklist page" if sink == WORKLIST and found.waiting else ""
    dead = f"{output.number(found.dead, 'dead letter')}: emr-sync write-backs {source}" if found.dead else "no dead letters"
    return Finding(WRITE_BACK, not found.dead, f"{sink}; {waiting}{typed}; {dead}")
