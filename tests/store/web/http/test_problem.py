"""Every error of the store has an HTTP status; a database failure is not the caller's error."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from store import errors
from store.domain.identifiers import LinkRefused
from store.web.http.problem import STATUS, problem_of, status_of

EXPECTED = {
    errors.PatientUnknown: 404,
    errors.NotFound: 404,
    errors.ReplyUnknown: 404,
    errors.IdentifierAmbiguous: 409,
    errors.IdentifierConflict: 409,
    errors.PreferenceLocked: 423,
    errors.ToggleOff: 409,
    errors.OptInOff: 409,
    errors.SearchOff: 409,
    errors.SettingRefused: 409,
    errors.RoleRefused: 403,
    errors.VersionConflict: 412,
    errors.MergeRefused: 409,
    errors.TooManyTries: 429,
    errors.ValueRefused: 422,
    errors.PayloadUnreadable: 409,
    errors.ChainBroken: 409,
    errors.FeedRestarted: 410,
    errors.NothingHeld: 409,
    errors.NotOnWorklist: 409,
    errors.RunActive: 409,
}


def kinds(of: type[Exception]) -> Iterator[type[Exception]]:
    for kind in of.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_every_error_of_the_store_has_a_status_and_its_own_code() -> None:
    found = {kind for kind in kinds(errors.StoreError) if kind.__module__.startswith("store")}
    assert {kind.__name__ for kind in found if status_of(kind) is None} == set()
    assert STATUS.keys() <= found
    assert status_of(LinkRefused) == (409, "identifier_conflict")
    assert len({code for _, code in STATUS.values()}) == len(STATUS)


@pytest.mark.parametrize("kind", EXPECTED, ids=lambda kind: kind.__name__)
def test_an_error_is_answered_with_its_status(kind: type[errors.StoreError]) -> None:
    made = {errors.PreferenceLocked: ("do_not_contact", "adt", "Clinic EMR"), errors.TooManyTries: (3.2,)}
    error = kind(*made.get(kind, ("what to do",)))
    problem = problem_of(error)
    assert problem.status == EXPECTED[kind]
    assert problem.detail == str(error)


def test_the_base_error_is_never_raised() -> None:
    """An error without its own kind has no status."""
    sources = [file.read_text("utf-8") for file in Path(errors.__file__).parent.rglob("*.py")]
    assert not [one for one in sources if "raise StoreError(" in one or "raise errors.StoreError(" in one]


def test_the_table_of_errors_has_no_unknown_error() -> None:
    assert EXPECTED.keys() == STATUS.keys()


def test_an_unusable_database_gets_503_with_retry_after() -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    for error in (full, errors.SchemaOutdated("run emr-sync migrate")):
        problem = problem_of(error)
        assert (problem.status, problem.code, problem.headers) == (503, "store_unavailable", {"Retry-After": "5"})
    assert problem_of(ValueError("a patient's name")).status == 500
    assert "name" not in problem_of(ValueError("a patient's name")).detail.replace("its log", "")
