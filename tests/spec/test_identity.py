"""Checks the table of patient matching on the real store."""

from __future__ import annotations

import pytest

from store.db.database import Database
from tests.spec.identity import CONFLICT, ENTERPRISE, FIRST, IDENTITY, NEW, SECOND, Row, identifiers, source
from tests.store.site import Site, says


@pytest.mark.parametrize("row", IDENTITY, ids=lambda row: row.rule)
def test_a_payload_is_matched_to_the_patient_in_the_table(database: Database, row: Row) -> None:
    site = Site(database, ENTERPRISE)
    here = [site.outcomes(says(identifiers(one), 0), source=source(one))[0].patient_id for one in row.known]
    (outcome,) = site.outcomes(says(identifiers(row.comes), 1, {"do_not_contact": "yes"}), source=source(row.comes))
    if outcome.outcome == "rejected":
        answer = f"rejected: {outcome.reason}"
    else:
        answer = dict(zip(here, (FIRST, SECOND), strict=False)).get(outcome.patient_id, NEW)
    assert answer == row.about
    first = identifiers(row.comes)[0]
    if answer != CONFLICT:
        assert site.find(first.value, first.authority, first.type).contact.do_not_contact == "yes"
