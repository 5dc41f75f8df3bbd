"""Telecoms are read as the public v2-to-FHIR table states, and the page shows the table."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from store.preference import PatientStatements, Phone
from tests.adapters.hl7v2.messages import adt, stated
from tests.spec.telecoms import PAGE, TELECOMS, Row, page


def summary(found: PatientStatements) -> Iterator[str]:
    for attribute, statement in found.statements.items():
        if attribute.startswith("consent."):
            yield f"no {attribute.removeprefix('consent.').replace('#', ' ')}"
        if not attribute.startswith(("phones", "email")):
            continue
        for one in statement.value or ():
            yield phone(one) if attribute.startswith("phones") else f"email {one}"


def phone(one: Phone) -> str:
    parts = [str(one.kind), one.number]
    if one.start or one.end:
        parts.append(f"{one.start}..{one.end}")
    if one.rank is not None:
        parts.append(f"rank {one.rank}")
    return " ".join(parts)


@pytest.mark.parametrize("row", TELECOMS, ids=lambda row: row.rule)
def test_a_number_is_read_as_in_the_public_mapping(row: Row) -> None:
    found = stated(adt(**{f"f{row.field.removeprefix('PID-')}": row.xtn}), default_region="US")
    assert ", ".join(summary(found)) == row.says
    assert " ".join(one.reason for one in found.problems) == row.reports
    if not row.says:
        assert bool(found.statements) is row.clears
    assert all(one.path.startswith(f"{row.field}[") for one in found.problems)
    assert {one.path.partition("[")[0] for one in found.statements.values()} <= {row.field}


def test_the_page_shows_the_table() -> None:
    assert PAGE.read_text("utf-8") == page()
