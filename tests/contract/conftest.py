"""A small EMR, and an engine that reads it into a store, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from store.db.database import Database
from store.patients.preferences import Preferences
from store.runs.runs import Journal
from sync.config import Backoff
from sync.engine import Engine
from sync.metrics import Metrics
from tests.contract.small_emr import NAMES, SmallEmr, serving
from tests.factories import CLINIC, clinic, sealing


@pytest.fixture
def emr() -> Iterator[SmallEmr]:
    with serving(SmallEmr(*NAMES)) as running:
        yield running


@pytest.fixture
def engine(database: Database, emr: SmallEmr) -> Engine:
    at_once = Backoff(attempts=2, first_wait=timedelta(0), longest_wait=timedelta(seconds=1))
    return Engine(database, Preferences(database, {CLINIC: clinic()}), Journal(database, sealing()), emr.clock, Metrics(), at_once)
