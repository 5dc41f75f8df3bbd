"""Identifiers of a store from before they had a kind."""

from __future__ import annotations

from alembic import command
from alembic.config import Config

from store.db import schema
from store.db.database import Database
from store.preference import Identifier
from tests.store.site import Site, mr, says

BEFORE_KINDS = "0024"
ROWS = "SELECT value, authority, type FROM identifiers ORDER BY value, authority, type"


def go(database: Database, direction: str, revision: str) -> None:
    with database.write("schema") as transaction:
        config = Config()
        config.set_main_option("script_location", str(schema.MIGRATIONS))
        config.attributes["connection"] = transaction
        getattr(command, direction)(config, revision)


def rows(database: Database, sql: str = ROWS) -> list[tuple[object, ...]]:
    with database.read() as connection:
        return [tuple(row) for row in database.select(connection, sql, [])]


def test_every_identifier_goes_on_naming_its_patient_through_the_change(database: Database) -> None:
    site = Site(database)
    site.apply(says((mr("1"), mr("77", "PN", "FMP")), 0, {"do_not_contact": "yes"}), says("2", 0))
    before = rows(database)
    go(database, "downgrade", BEFORE_KINDS)
    assert rows(database) == before
    go(database, "upgrade", "head")
    assert rows(database) == before
    assert {kind for (kind,) in rows(database, "SELECT DISTINCT kind FROM identifiers")} == {""}
    assert site.find("77", "FMP").id == site.find("1").id
    assert site.apply(says("1", 1, {"language": "es"}), says("2", 1, {"do_not_contact": "no"})) == ["applied", "applied"]
    assert (site.dnc("1"), site.dnc("2")) == ("yes", "no")


def test_going_back_keeps_an_identifier_with_whom_it_decides_for(database: Database) -> None:
    site = Site(database)
    shared = Identifier("FMP", "PN", "77")
    site.apply(says((mr("1"), shared), 0), says((mr("2"), shared), 0), says((shared,), 0))
    owner = site.find("77", "FMP").id
    go(database, "downgrade", BEFORE_KINDS)
    assert len([row for row in rows(database) if row[0] == "77"]) == 1
    go(database, "upgrade", "head")
    assert site.find("77", "FMP").id == owner
