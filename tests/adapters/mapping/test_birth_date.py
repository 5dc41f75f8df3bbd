"""Birth dates as EMRs write them, in both protocols: as precise as written, or a problem, and never a guess."""

from __future__ import annotations

from datetime import UTC, date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.mapping import birth_date, iso_time
from store.preference import BIRTH_DATE, DISPLAY_NAME, Statement
from tests.adapters.fhir.test_patient import patient
from tests.adapters.fhir.test_patient import said as said_in_fhir
from tests.adapters.hl7v2.messages import adt, items, stated, statements

PROBLEM = ["birth_date_unusable"]


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("19800203", "1980-02-03"),
        ("198002031430", "1980-02-03"),
        ("19800203233000-0600", "1980-02-03"),
        ("19800203003000+1300", "1980-02-03"),
        ("1980-02-03", "1980-02-03"),
        ("1980-02-03T10:00:00Z", "1980-02-03"),
        ("198002", "1980-02"),
        ("1980", "1980"),
        (" 19800203 ", "1980-02-03"),
        ("19800203^D", "1980-02-03"),
        ("19800203~19810101", "1980-02-03"),
        ("20000229", "2000-02-29"),
        ("20261101", "2026-11-01"),
    ],
)
def test_pid_7_is_kept_as_precisely_as_it_is_written(written: str, kept: str) -> None:
    found = stated(adt(f7=written))
    assert (found.statements[BIRTH_DATE], found.problems) == (Statement(kept, "PID-7"), ())


@pytest.mark.parametrize(
    "written", ["19800230", "19801301", "03/02/1980", "3 Feb 1980", "80", "unknown", "20270101", "99991231", "1980-2-3", "x" * 500]
)
def test_what_is_no_birth_date_is_a_problem_and_the_rest_is_applied(written: str) -> None:
    found = stated(adt(f7=written, f5="Example^Pat"))
    assert ([one.reason for one in found.problems], {*found.statements}) == (PROBLEM, {DISPLAY_NAME})
    assert [one.attribute for one in found.problems] == [BIRTH_DATE]
    assert written not in repr(found.problems)


@pytest.mark.parametrize("written", ["", "0", "00000000", "0000-00-00", "^D"])
def test_an_empty_pid_7_states_nothing(written: str) -> None:
    found = stated(adt(f7=written))
    assert (found.statements, found.problems) == ({}, ())


def test_a_deleted_birth_date_is_taken_back() -> None:
    assert statements(adt(f7='""')) == {BIRTH_DATE: Statement(None, "PID-7")}


def test_birth_dates_are_not_kept_where_that_is_switched_off() -> None:
    assert statements(adt(f7="19800203"), keep_birth_dates=False) == {}
    assert stated(adt(f7="soon"), keep_birth_dates=False).problems == ()
    assert BIRTH_DATE not in said_in_fhir(patient(birthDate="1980-02-03"), keep_birth_dates=False).statements
    assert BIRTH_DATE in statements(adt(f7="19800203"), keep_names=False)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("1980-02-03", "1980-02-03"),
        ("1980-02", "1980-02"),
        ("1980", "1980"),
        ("1980-02-03T23:30:00-06:00", "1980-02-03"),
        (" 1980-02-03 ", "1980-02-03"),
    ],
)
def test_the_birth_date_of_a_patient_resource(written: str, kept: str) -> None:
    found = said_in_fhir(patient(birthDate=written))
    assert (found.statements[BIRTH_DATE], found.problems) == (Statement(kept, "Patient.birthDate"), ())


@pytest.mark.parametrize(
    "written", ["1980-02-30", "19800203x", "****", 19800203, 1980, ["1980-02-03"], {"value": "1980"}, True, "9999-12-31", "0000-00-00"]
)
def test_a_birth_date_that_cannot_be_read_is_a_problem(written: Any) -> None:
    found = said_in_fhir(patient(birthDate=written))
    assert (BIRTH_DATE in found.statements, [one.reason for one in found.problems]) == (False, PROBLEM)


@pytest.mark.parametrize("more", [{}, {"birthDate": None}, {"birthDate": ""}])
def test_a_missing_birth_date_states_nothing(more: dict[str, Any]) -> None:
    found = said_in_fhir(patient(**more, _birthDate={"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason"}]}))
    assert (BIRTH_DATE in found.statements, found.problems) == (False, ())


@given(st.text(max_size=40))
def test_any_text_is_read_or_is_a_problem(written: str) -> None:
    body = adt(f7="FIELD").decode().replace("FIELD", written.replace("\r", "").replace("\n", ""))
    for item in items(body.encode("utf-8", "surrogatepass")):
        found = getattr(item, "statements", {}).get(BIRTH_DATE)
        assert found is None or found.value is None or len(found.value) in (4, 7, 10)


@given(st.one_of(st.dates().map(date.isoformat), st.from_regex(r"\d{4}-[\dW]{2}-?[\d-]{1,3}", fullmatch=True), st.text(max_size=12)))
def test_a_plain_date_is_read_as_any_other_way_would(text: str) -> None:
    today = date(2026, 11, 1)
    quickly = birth_date.plain(text, today)
    assert quickly is None or quickly == birth_date.written(iso_time.read(text, UTC), UTC, today)
