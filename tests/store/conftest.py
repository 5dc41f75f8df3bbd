"""A store to drive, on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest

from store.db.database import Database
from tests.store.site import LOCAL, Site


@pytest.fixture
def site(database: Database) -> Site:
    """An enterprise that syncs from two sources, ``adt`` before ``fhir``."""
    return Site(database)


@pytest.fixture
def local(database: Database) -> Site:
    """The same enterprise, syncing nothing, with the Do Not Contact toggle on."""
    return Site(database, LOCAL)
