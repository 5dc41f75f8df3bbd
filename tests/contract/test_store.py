"""What the store needs from every database: unchanged values, exact times, and separate patients."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from store import times
from store.db import schema
from store.db.database import Database
from store.db.tables import Table
from store.domain.patient import PatientRef
from store.errors import IdentifierAmbiguous, PatientUnknown, SchemaOutdated, StoreError
from store.patients.preferences import Preferences
from store.preference import Method, Phone, consent, slot, topic
from tests.store.site import ADT, CELL, HOME, SYNCED, Site, mr, says

OTHER = type(SYNCED)("other-hospital", syncs=True)
PHONES = (Phone(CELL, "cell", "(217) 555-0101", 1, True, "2026-01-01", None), Phone(HOME, "home", "555 0102", None, False, None, "2026-12"))
EVERYTHING: dict[str, Any] = {
    "do_not_contact": "yes",
    "preferred_method": Method.VOICE,
    "preferred_phone": HOME,
    slot("phones", "PID-13"): PHONES,
    "email": ("pat@example.test", "p.ätt+1@example.test"),
    "language": "zh-Hant-TW",
    consent("sms"): "granted",
    consent("voice", HOME): "denied",
    topic("recall", "sms"): "denied",
    "deceased": False,
    "restricted": True,
    "active": False,
    "display_name": "Zoë “Pat” O'Example; 例 \N{WAVING HAND SIGN} \\ % ? \n",
}


@pytest.fixture
def site(database: Database) -> Site:
    return Site(database, SYNCED, OTHER)


def test_every_kind_of_value_is_read_back_unchanged(site: Site) -> None:
    site.apply(says("1", 0, EVERYTHING))
    found = {attribute: one.value for attribute, one in site.find("1").preferences.items()}
    assert found == {"phones" if attribute.startswith("phones") else attribute: value for attribute, value in EVERYTHING.items()}
    assert all(isinstance(phone, Phone) for phone in found["phones"])


def test_decisions_and_the_facesheet_show_the_same_values(site: Site) -> None:
    site.apply(says("1", 0, EVERYTHING))
    known, patient = site.known("1"), site.find("1")
    assert known.contact == patient.contact
    assert (known.id, known.version) == (patient.id, patient.version)
    assert known.contact.consents == {"sms": "granted", f"voice#{HOME}": "denied"}
    assert known.contact.topics == {"recall.sms": "denied"}


@pytest.mark.parametrize("moment", [
    datetime(2026, 11, 2, 8, 0, 0, 1, tzinfo=UTC),
    datetime(2026, 11, 2, 2, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=-6))),
    datetime(1900, 1, 1, tzinfo=UTC),
    datetime(1, 1, 2, tzinfo=UTC),
    datetime(9999, 12, 30, tzinfo=UTC),
])  # fmt: skip
def test_times_are_read_back_with_zone_and_microseconds(site: Site, moment: datetime) -> None:
    item = says("1", 0, {"do_not_contact": "yes"})
    site.now = max(site.now, moment)
    site.apply(type(item)(item.identifiers, item.statements, times.at(moment), "E"))
    found = site.find("1").preferences["do_not_contact"].assertion.effective.earliest
    assert (found, found.utcoffset() is not None) == (moment, True)
    entry = site.store.history(site.enterprise, site.find("1").id)[0]
    assert entry.effective == moment


def test_payloads_a_microsecond_apart_are_distinct(site: Site) -> None:
    site.apply(says("1", 1.000001, {"do_not_contact": "yes"}))
    assert site.apply(says("1", 1.0, {"do_not_contact": "no"})) == ["stale"]
    assert site.apply(says("1", 1.000002, {"do_not_contact": "no"})) == ["applied"]


@pytest.mark.parametrize("value", ["o'brien", 'a"b', "50%", "a?b", "a\\b", "{1,2}", "NULL", " 1 ", "é", "例", "x" * 5_000, "1,2", "[1]"])
def test_identifiers_are_compared_exactly(site: Site, value: str) -> None:
    site.apply(says((mr(value),), 0, {"do_not_contact": "yes"}), says((mr(value.swapcase() + "!"),), 0, {"do_not_contact": "no"}))
    assert site.dnc(value) == "yes"
    assert site.apply(says((mr(value),), 0, {"do_not_contact": "yes"})) == ["unchanged"]
    with pytest.raises(PatientUnknown):
        site.find(value + " ")


def test_data_survives_a_restart(site: Site, database_url: str) -> None:
    site.apply(says("1", 0, EVERYTHING))
    site.text("STOP")
    before = site.find("1")
    again = Database.open(database_url)
    try:
        assert Preferences(again, site.enterprises).find(site.enterprise, PatientRef(id=before.id)) == before
    finally:
        again.close()


def test_nothing_crosses_enterprises(site: Site) -> None:
    site.apply(says("1", 0, EVERYTHING))
    patient = site.find("1").id
    site.outcomes(says("1", 5, {"do_not_contact": "no"}), enterprise=OTHER.name)
    elsewhere = site.store.find(OTHER.name, PatientRef(value="1"))
    assert elsewhere.id != patient
    assert (site.dnc("1"), elsewhere.contact.do_not_contact) == ("yes", "no")
    with pytest.raises(PatientUnknown):
        site.store.find(OTHER.name, PatientRef(id=patient))
    with pytest.raises(PatientUnknown):
        site.store.history(OTHER.name, patient)


def test_requests_are_answered_in_order_and_independently(site: Site) -> None:
    site.apply(says((mr("1"),), 0, EVERYTHING), says((mr("1", authority="B"),), 0), says("2", 0))
    patient = site.find("2").id
    refs = [PatientRef(value="none"), PatientRef(id=patient), PatientRef(value="1"), PatientRef(authority="B", value="1"), PatientRef()]
    found = site.store.known(site.enterprise, [*refs, *refs], site.now)
    kinds = [type(one) if isinstance(one, StoreError) else one.id for one in found]
    expected = [PatientUnknown, patient, IdentifierAmbiguous, site.find("1", "B").id, PatientUnknown]
    assert kinds == expected * 2


def test_errors_name_no_patient(site: Site) -> None:
    site.apply(says((mr("SECRET-1"),), 0), says((mr("SECRET-1", authority="B"),), 0), says("SECRET-2", 0), says("SECRET-3", 0))
    refs = [PatientRef(value="SECRET-1"), PatientRef(value="SECRET-9"), PatientRef(id="SECRET-9")]
    found = [str(one) for one in site.store.known(site.enterprise, refs, site.now)]
    conflict = site.outcomes(says((mr("SECRET-4"), mr("SECRET-2"), mr("SECRET-3")), 1))[0]
    assert len(found) == 3
    assert not any("SECRET" in text for text in (*found, conflict.detail))


def test_a_stale_source_is_reported(site: Site) -> None:
    fresh = type(SYNCED.sources[0])(ADT, "Hospital ADT", freshness=timedelta(hours=1))
    timed = Site(site.database, type(SYNCED)("timed", syncs=True, sources=(fresh,)))
    timed.apply(says("1", 0, {"do_not_contact": "no"}))
    assert timed.known("1").stale


def test_the_newest_revision_is_the_alembic_head() -> None:
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    assert schema.head() == ScriptDirectory.from_config(config).get_current_head()


def test_the_migrations_match_the_models(database: Database) -> None:
    def owned_by_service(name: str | None, kind: str, parents: object) -> bool:
        return not (kind == "table" and str(name).startswith("procrastinate_"))  # tables of the queue, which has its own migrations

    with database.read() as connection:
        found = MigrationContext.configure(connection, opts={"include_name": owned_by_service})
        assert compare_metadata(found, Table.metadata) == []


def test_an_unmigrated_database_is_reported_and_migrating_twice_works(bare_database_url: str) -> None:
    database = Database.open(bare_database_url)
    try:
        assert schema.is_empty(database)
        with pytest.raises(SchemaOutdated, match="run emr-sync migrate"):
            schema.check(database)
        schema.migrate(database)
        schema.migrate(database)
        schema.check(database)
        assert Site(database).apply(says("1", 0)) == ["applied"]
    finally:
        database.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://x/y", "postgresql://u@h/d", "postgresql+psycopg2://u@h/d"])
def test_an_unsupported_database_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"sqlite|file"):
        Database.open(url)
