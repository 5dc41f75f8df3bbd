from __future__ import annotations

from datetime import timedelta

import pytest

from adapters.base import Fetch, Filtered
from store.database import Database
from store.errors import PatientUnknown
from store.journal import Journal
from store.patient import PatientRef
from store.preferences import Preferences
from sync.config import Backoff
from sync.dry_run import Difference, dry_run
from sync.engine import Engine
from sync.lane import Lane
from sync.metrics import Metrics
from tests.factories import CLINIC, FEED, clinic, statements
from tests.fakes import FakeAdapter, FakeClock, batch

LANE = Lane(FEED, CLINIC)


@pytest.fixture
def engine(database: Database) -> Engine:
    backoff = Backoff(1, timedelta(0), timedelta(0))
    return Engine(database, Preferences(database, {CLINIC: clinic()}), Journal(database), FakeClock(), Metrics(), backoff)


def test_the_difference_is_shown_and_nothing_changes(engine: Engine) -> None:
    engine.run(LANE, FakeAdapter(batch(statements("A", {"do_not_contact": "yes", "language": "en"}))), Fetch(), "incremental")
    before = engine.preferences.find(CLINIC, PatientRef(value="A"))
    later = statements("A", {"do_not_contact": "no", "language": "en"}, minutes=5)
    result = dry_run(engine, LANE, FakeAdapter(batch(later, Filtered("not_for_us", "x"))), Fetch())
    assert result.counts == {"applied": 1, "filtered": 1}
    assert result.changes == [Difference(before.id, "do_not_contact", "yes", "no")]
    assert engine.preferences.find(CLINIC, PatientRef(value="A")) == before
    assert engine.journal.cursor(FEED) is None


def test_a_new_patient_has_no_id_yet(engine: Engine) -> None:
    result = dry_run(engine, LANE, FakeAdapter(batch(statements("NEW"), cursor="9")), Fetch())
    assert result.changes == [Difference("", "do_not_contact", None, "yes")]
    assert len(engine.journal.runs(source=FEED)) == 0
    with pytest.raises(PatientUnknown):
        engine.preferences.find(CLINIC, PatientRef(value="NEW"))


def test_scripts_read_the_same_shape_as_of_a_run(engine: Engine) -> None:
    shown = dry_run(engine, LANE, FakeAdapter(batch(statements("A"))), Fetch()).as_dict()
    assert (shown["run"], shown["status"], shown["counts"]["applied"]) == (None, "dry-run", 1)
