"""The migration that lists e-mail addresses beside phone numbers finds what a batch would have written."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from store.db import schema
from store.db.database import Database
from tests.store.site import FHIR, Site, cell, says

LISTED = "SELECT number, patient_id, in_force FROM patient_phones"


def listed(database: Database) -> list[Any]:
    with database.read() as connection:
        return sorted(map(tuple, database.select(connection, LISTED, [])))


def migration() -> Any:
    """The module of the migration."""
    config = Config()
    config.set_main_option("script_location", str(schema.__file__).replace("schema.py", "migrations"))
    found = ScriptDirectory.from_config(config).get_revision("0068")
    assert found is not None
    return found.module


def test_every_address_is_listed_with_whether_it_is_in_force(database: Database) -> None:
    site, module = Site(database), migration()
    site.apply(says("1", 0, {"phones": (cell(),), "email": ("Pat@example.test", "pat@work.test")}), says("2", 0, {"email": ("x@y.test",)}))
    site.apply(says("2", 5, {"email": ("second@y.test",)}), source=FHIR)
    written = listed(database)
    assert [number for number, _, in_force in written if "@" in number and not in_force] == ["second@y.test"]
    with database.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM patient_phones WHERE number LIKE '%@%'"))
        for rows in module._groups(connection):
            connection.execute(sa.text(module.LIST), rows)
    assert listed(database) == written
