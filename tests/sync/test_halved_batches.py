"""A batch that cannot be stored in one transaction, because of one record or its size: the cursor moves only when all of it is stored."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from adapters.base import Fetch
from store.db.database import Database
from store.domain.patient import PatientRef
from store.errors import PatientUnknown
from store.patients.preferences import Preferences
from store.runs.runs import Journal
from sync.config import Backoff
from sync.engine import Engine
from sync.metrics import Metrics
from sync.run import Lane
from tests.factories import CLINIC, FEED, clinic, sealing, statements
from tests.fakes import FakeAdapter, FakeClock, batch

LANE = Lane(FEED, CLINIC)
SIZE = 6
BAD = {"display_name": "\ud800"}  # no database accepts a lone surrogate


@pytest.fixture(params=[2, 4, 100])
def engine(database: Database, request: pytest.FixtureRequest) -> Engine:
    """An engine that stores at most this many records in one transaction."""
    at_once = Backoff(attempts=2, first_wait=timedelta(0), longest_wait=timedelta(seconds=1))
    store, journal = Preferences(database, {CLINIC: clinic()}), Journal(database, sealing())
    return Engine(database, store, journal, FakeClock(), Metrics(), at_once, batch_size=request.param)


def known(engine: Engine, names: list[str]) -> set[str]:
    found = set()
    for name in names:
        try:
            engine.preferences.find(CLINIC, PatientRef(value=name))
        except PatientUnknown:
            continue
        found.add(name)
    return found


@pytest.mark.parametrize("bad", [{0}, {2}, {SIZE - 1}, {1, 4}, {0, SIZE - 1}])
def test_the_cursor_moves_only_after_every_storable_record_is_stored(engine: Engine, bad: set[int]) -> None:
    names, seen = [f"P{number}" for number in range(SIZE)], list[tuple[str | None, set[str]]]()
    good = {name for number, name in enumerate(names) if number not in bad}
    items = [statements(name, BAD if number in bad else None) for number, name in enumerate(names)]

    def check_earlier_transactions(_connection: Any) -> None:
        """Checks what another process sees just before a commit: all earlier transactions."""
        seen.append((engine.journal.cursor(FEED), known(engine, names)))

    engine.run(LANE, FakeAdapter(batch(statements("first"), cursor="before")), Fetch(), "incremental")
    event.listen(engine.database.engine, "commit", check_earlier_transactions)
    run = engine.run(LANE, FakeAdapter(batch(*items, cursor="end")), Fetch(), "incremental")
    event.remove(engine.database.engine, "commit", check_earlier_transactions)
    assert (run.status, run.counts) == ("done", {"applied": len(good), "rejected": len(bad)})
    assert engine.journal.cursor(FEED) == "end"
    assert len({len(stored) for cursor, stored in seen if cursor == "before"}) > 1, "the batch must be stored in parts"
    assert [stored for cursor, stored in seen if cursor == "end" and stored != good] == []
