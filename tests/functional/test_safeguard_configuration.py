"""A changed configuration that would turn 2,500 patients contactable: senders keep hearing "do not send" until a person approves."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from store import times
from store.db.database import Database
from store.domain.enterprise import Enterprise, Source
from store.patients.preferences import Preferences
from store.preference import Identifier, PatientStatements, Phone, Statement
from sync.config import load
from sync.service import Service, serving
from tests.factories import NOW
from tests.functional.program import emr_sync, free_port, hospital, written

PATIENTS, AT_ONCE = 2_500, 500  # in several runtime, whatever reads, restates, approves or asks
HOSPITAL, FIRST, SECOND = "general-hospital", "genhosp-adt", "genhosp-second"
ALL_SILENT, ALL_SENT = {"do_not_send": PATIENTS}, {"send": PATIENTS}
Sender = Callable[[], Counter[str]]


def statements(number: int, said: dict[str, Any]) -> PatientStatements:
    phone = Phone(f"+1217{5550000 + number}", "cell", textable=True)
    stated = {name: Statement(value, f"X-{name}") for name, value in (said | {"phones": (phone,)}).items()}
    return PatientStatements((Identifier("GENHOSP", "MR", f"K{number}"),), stated, times.at(NOW), f"M{number}")


def fill(url: str, said: Mapping[str, Any]) -> None:
    """What each source says of everybody."""
    database = Database.open(url)
    enterprise = Enterprise(HOSPITAL, syncs=True, sources=(Source(FIRST, ""), Source(SECOND, "")))
    store = Preferences(database, {HOSPITAL: enterprise})
    for source, stated in said.items():
        for start in range(0, PATIENTS, AT_ONCE):
            items = [statements(number, stated) for number in range(start, start + AT_ONCE)]
            with database.write(HOSPITAL) as transaction:
                store.apply_many(transaction, HOSPITAL, source, items, now=NOW)
    database.close()


class Hospital:
    """A configuration of two sources, which somebody edits and restarts the service with."""

    def __init__(self, url: str, folder: Path) -> None:
        self.folder, self.written = folder, hospital(url, free_port())
        self.written["api"] = {"listen": "127.0.0.1:0"}
        self.both = self.written["sources"] | {SECOND: self.written["sources"][FIRST] | {"listen": f"127.0.0.1:{free_port()}"}}
        self.written["sources"] = self.both

    @contextmanager
    def served(self) -> Iterator[tuple[Service, Sender]]:
        with serving(load(self.file, {}), ["api"]) as service:
            yield service, sender(service)

    @property
    def file(self) -> Path:
        return written(self.folder, self.written)


def sender(service: Service) -> Sender:
    """Asks about everybody for a reminder, over HTTP."""
    key = service.runtime.keys.create("reminders", HOSPITAL, "sender", service.runtime.clock())[1]
    asks = [ask(number) for number in range(PATIENTS)]
    return lambda: answers(service, key, asks)


def ask(number: int) -> dict[str, Any]:
    return {"patient": {"authority": "GENHOSP", "value": f"K{number}"}, "message_type": "automation", "channels": ["sms"]}


def answers(service: Service, key: str, asks: list[dict[str, Any]]) -> Counter[str]:
    assert service.address is not None
    connection = HTTPConnection(*service.address, timeout=120)
    connection.request("POST", "/v1/decisions/batch", json.dumps(asks), {"Authorization": f"Bearer {key}"})
    found = Counter(answer["decision"] for answer in json.loads(connection.getresponse().read()))
    connection.close()
    return found


@pytest.mark.timeout(600)
def test_sync_switched_off_by_mistake_frees_nobody_until_a_person_approves(database_url: str, tmp_path: Path) -> None:
    fill(database_url, {FIRST: {"do_not_contact": "yes"}})
    site = Hospital(database_url, tmp_path)
    with site.served() as (_, told):
        assert told() == ALL_SILENT
    site.written["enterprises"][HOSPITAL]["sync_contact_preferences"] = "false"
    with site.served() as (service, told):
        assert told() == ALL_SILENT
        (held,) = service.runtime.verdicts.awaiting_review()
        assert (held.kind, held.patients) == ("configuration", PATIENTS)
        approved = emr_sync(site.file, "runs", "approve", held.run)
        assert (approved["status"], approved["held"]["verdicts"][0]["verdict"]) == ("done", "approved")
        service.runtime.configurations.refresh()  # as it does every second
        assert told() == ALL_SENT


@pytest.mark.timeout(600)
def test_a_source_that_leaves_or_loses_its_place_frees_nobody_until_a_person_approves(database_url: str, tmp_path: Path) -> None:
    fill(database_url, {FIRST: {"preferred_method": "none"}, SECOND: {"preferred_method": "sms"}})
    site = Hospital(database_url, tmp_path)
    with site.served() as (_, told):
        assert told() == ALL_SILENT
    for sources in ((SECOND,), (SECOND, FIRST)):
        site.written["sources"] = {name: site.both[name] for name in sources}
        with site.served() as (service, told):
            (held,) = service.runtime.verdicts.awaiting_review()
            assert (held.patients, told()) == (PATIENTS, ALL_SILENT)
    emr_sync(site.file, "runs", "approve", held.run)
    with site.served() as (service, told):
        assert (service.runtime.verdicts.awaiting_review(), told()) == ([], ALL_SENT)
