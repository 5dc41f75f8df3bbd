"""A database of every earlier schema, with what the program of that schema wrote, is upgraded and goes on to be used.

``tests/fixtures/schemas/NNNN.ndjson`` holds the rows, one per line as [table, row]. They were written by the last program of each schema:
it ingested the same seven messages (MRN1 and MRN4 refuse contact, MRN4 is merged into MRN3, MRN5 denies texts, MRN6 has an unknown
code), created an API key, and received a STOP from the number of MRN2. Each has an enterprise and numbers of its own, so one database
takes them all on its way through the migrations.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Connection, text

from store import times
from store.audit.checkpoints import LEDGERS
from store.audit.verify import verify
from store.db import schema
from store.db.database import Database
from store.domain.decision import KnownPatient, decide
from store.domain.decision_request import DecisionRequest
from store.domain.enterprise import Enterprise, Source
from store.domain.patient import Patient, PatientRef
from store.domain.policies import Policy
from store.patients.preferences import Preferences
from store.preference import Identifier, PatientStatements, Statement
from store.runs.runs import Journal
from store.users.api_keys import ApiKeys
from sync.runtime import migrate
from tests.store.db.test_identity_migration import go
from tests.store.site import LINE

FIXTURES = Path(__file__).parents[2] / "fixtures" / "schemas"
WRITTEN = sorted(file.stem for file in FIXTURES.glob("*.ndjson"))
NEVER_LAST = {"0014", "0050", "0067", "0068", "0069", "0071", "0072", "0073", "0074", "0075", "0076", "0078"}
"""Schemas that no program had for its own: it was released together with the next."""
BEFORE_CHAINS = {"0001", "0002", "0003", "0004"}
SEQUENCE = "SELECT setval(pg_get_serial_sequence('{0}', 'seq'), (SELECT max(seq) FROM {0}))"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def upgraded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One database that was upgraded step by step, and got at each step what the program of that schema wrote."""
    if request.param == "sqlite":
        yield from _walked(f"sqlite:///{tmp_path_factory.mktemp('walk') / 'walk.db'}")
        return
    bare = request.getfixturevalue("postgres_bare")
    with bare.lent() as name:
        yield from _walked(bare.url(name))


def _walked(url: str) -> Iterator[Database]:
    database = Database.open(url)
    with closing(database):
        for revision in WRITTEN:
            go(database, "upgrade", revision)
            with database.write("schema") as transaction:
                _insert(database, transaction, (FIXTURES / f"{revision}.ndjson").read_text())
        migrate(database)
        schema.check(database)
        yield database


def _insert(database: Database, transaction: Connection, rows: str) -> None:
    tables = set()
    for table, row in map(json.loads, rows.splitlines()):
        values = {name: bytes.fromhex(value["hex"]) if isinstance(value, dict) else value for name, value in row.items()}
        transaction.execute(text(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(f':{name}' for name in row)})"), values)
        tables |= {table} if "seq" in row else set()
    for table in () if database.is_sqlite else tables:
        transaction.execute(text(SEQUENCE.format(table)))


class Clinic(NamedTuple):
    """The enterprise of one fixture."""

    store: Preferences
    name: str
    source: str

    def find(self, mrn: str) -> Patient:
        return self.store.find(self.name, PatientRef(authority="CLINIC", value=mrn))

    def reasons(self, mrn: str) -> list[str]:
        """Why a reminder by text is not sent."""
        now = self.find(mrn).updated
        (known,) = self.store.known(self.name, [PatientRef(authority="CLINIC", value=mrn)], now)
        assert isinstance(known, KnownPatient)
        answer = decide(DecisionRequest(message_type="automation", channels=("sms",), line=LINE), known, Policy(), now)
        assert answer.channel is None
        return list(answer.reasons)


@pytest.fixture(params=WRITTEN)
def clinic(request: pytest.FixtureRequest, upgraded: Database) -> Clinic:
    name, source = f"clinic-{request.param}", f"adt-{request.param}"
    enterprise = Enterprise(name, "Clinic", syncs=True, sources=(Source(source, "Clinic ADT"),))
    return Clinic(Preferences(upgraded, {name: enterprise}), name, source)


def test_there_are_rows_of_every_earlier_schema() -> None:
    assert set(WRITTEN) | NEVER_LAST == schema.revisions() - {schema.head()}


def test_what_was_refused_before_the_upgrade_is_refused_after_it(clinic: Clinic) -> None:
    assert "do_not_contact" in clinic.reasons("MRN1")
    assert "sms_opted_out" in clinic.reasons("MRN2")
    assert clinic.find("MRN4").id == clinic.find("MRN3").id
    assert "do_not_contact" in clinic.reasons("MRN4")
    assert "sms_opted_out" in clinic.reasons("MRN5") or "consent_denied" in clinic.reasons("MRN5")


def test_history_rejections_and_keys_are_kept(clinic: Clinic, upgraded: Database) -> None:
    assert [entry.authority for entry in clinic.store.history(clinic.name, clinic.find("MRN1").id)][-1] == f"emr:{clinic.source}"
    assert len(clinic.store.changes(clinic.name, 0, 100)) >= 8
    assert [one.reason for one in Journal(upgraded).rejections(source=clinic.source)] == ["code_unmapped"]
    assert [one.role for one in ApiKeys(upgraded).list(clinic.name)] == ["sender"]


def test_the_next_message_is_applied(clinic: Clinic, upgraded: Database) -> None:
    before = clinic.find("MRN5")
    later: Any = before.updated + timedelta(days=1)
    stated = PatientStatements((Identifier("CLINIC", "MR", "MRN5"),), {"do_not_contact": Statement("yes", "ZCP-2")}, times.at(later), "C9")
    with upgraded.write(clinic.name) as transaction:
        (outcome,) = clinic.store.apply_many(transaction, clinic.name, clinic.source, [stated], now=later)
    assert outcome.outcome == "applied"
    assert "do_not_contact" in clinic.reasons("MRN5")
    assert clinic.store.changes(clinic.name, 0, 100)[-1][1] == clinic.find("MRN5").id


def test_postgresql_keeps_room_for_new_versions_of_rows(upgraded: Database) -> None:
    if upgraded.is_sqlite:
        pytest.skip("SQLite writes rows in place")
    sql = "SELECT relname FROM pg_class WHERE reloptions @> ARRAY['fillfactor=70'] ORDER BY relname"
    with upgraded.read() as connection:
        assert [row[0] for row in upgraded.select(connection, sql, [])] == ["assertions", "patients"]


def test_every_hash_chain_is_intact(upgraded: Database) -> None:
    """The rows were written on SQLite, and the digests of attested rows are of their text there: on PostgreSQL those cannot match."""
    verdicts = [one for one in verify(upgraded) if upgraded.is_sqlite or one.head.chain not in LEDGERS]
    assert len(verdicts) >= len(WRITTEN) - len(BEFORE_CHAINS)
    assert not [one for one in verdicts if one.broken_at is not None]
