"""Contact points in an extension are read as the table states, and the page shows the table."""

from __future__ import annotations

from typing import Any

import pytest

from store.preference import Phone, Statement
from tests.adapters.fhir.made import patient, said
from tests.spec.contact_points import CONTACT_POINTS, NOTHING, PAGE, URL, Row, page


def listed(stated: dict[str, Statement], attribute: str) -> str:
    """The list stated, and the consents that remarks refuse."""
    if attribute not in stated:
        return NOTHING
    values = [f"{one.kind} {one.number}" if isinstance(one, Phone) else str(one) for one in stated[attribute].value or ()]
    refused = [name.removeprefix("consent.").replace("#", " ") for name in stated if name.startswith("consent.") and attribute == "phones"]
    return ", ".join([*values, *(f"no {one}" for one in refused)])


def record(row: Row) -> dict[str, Any]:
    elements: dict[str, Any] = {} if row.telecom is None else {"telecom": row.telecom}
    other = {"url": "https://emr.example/other", "valueContactPoint": {"system": "phone", "value": "217-555-0199"}}
    return patient(**elements, extension=[other, *({"url": URL} | one for one in row.held or ())])


@pytest.mark.parametrize("row", CONTACT_POINTS, ids=lambda row: row.rule)
def test_contact_points_in_an_extension_are_read_as_in_the_table(row: Row) -> None:
    found = said(record(row), options={"telecom": URL})
    assert [listed(dict(found.statements), name) for name in ("phones", "email")] == [row.phones, row.email]
    assert " ".join(one.reason for one in found.problems) == row.reports
    assert all(one.path.startswith("Patient.extension[") for one in found.problems)


def test_without_the_option_no_extension_is_a_phone() -> None:
    assert all(not said(record(row)).statements.keys() & {"phones"} for row in CONTACT_POINTS if row.telecom is None)


def test_the_page_shows_the_table() -> None:
    assert PAGE.read_text("utf-8") == page()
