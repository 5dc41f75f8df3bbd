from __future__ import annotations

from datetime import timedelta

import pytest

from store.db.database import Database
from store.domain.enterprise import Enterprise, Source
from store.patients.freshness import Freshness
from store.runs.runs import Journal
from tests.factories import NOW

HOUR = timedelta(hours=1)
ENTERPRISE = Enterprise("clinic", sources=(Source("adt", "ADT", HOUR), Source("fhir", "FHIR", HOUR), Source("drop", "Drop", None)))


@pytest.mark.parametrize(
    ("sources", "silent", "stale", "minutes"),
    [
        ("adt,fhir", {"adt": 10, "fhir": 10}, False, 10),
        ("adt,fhir", {"adt": 90, "fhir": 10}, True, 90),
        ("adt,fhir", {"adt": 10, "fhir": 90}, True, 90),
        ("adt,fhir", {"adt": 10}, True, 10),
        ("adt,fhir", {"fhir": 10}, True, 10),
        ("adt,drop", {"adt": 10, "drop": 10_000}, False, 10_000),
        ("adt,gone", {"adt": 10, "gone": 10}, True, 10),
        ("adt", {"adt": 60, "fhir": 90}, False, 60),
        ("adt", {"adt": 61}, True, 61),
        ("", {}, False, None),
    ],
)
def test_a_patient_is_as_stale_as_the_stalest_source(
    database: Database, sources: str, silent: dict[str, int], stale: bool, minutes: int | None
) -> None:
    journal = Journal(database)
    for source, ago in silent.items():
        with database.write("clinic") as transaction:
            journal.mark_received(transaction, source, "clinic", now=NOW - timedelta(minutes=ago))
    age = Freshness(database).ages(ENTERPRISE, NOW)(sources)
    assert (age.stale, age.as_of) == (stale, None if minutes is None else NOW - timedelta(minutes=minutes))
