"""Random payloads of two sources with shared identifiers: different patients stay separate, no refusal is lost (product rule 5.9)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.db.database import Database
from store.domain.enterprise import Source
from store.domain.ids import parsed
from store.domain.lock import Actor, Role
from store.domain.patient import Patient, PatientRef
from store.errors import StoreError
from store.patients.identity_check import IdentityCheck
from store.preference import Identifier
from tests.store.site import ADT, FHIR, SYNCED, Site, says

OWNS = {ADT: "GENHOSP", FHIR: "CLINIC"}
ENTERPRISE = replace(
    SYNCED,
    linking=frozenset({"EMPI"}),
    sources=tuple(Source(name, name, patient_id=((authority, "MR"),)) for name, authority in OWNS.items()),
)
PREFIXES = iter(range(1_000_000))


class Sent(NamedTuple):
    source: str
    own: str
    links: tuple[str, ...]
    others: tuple[str, ...]
    spelled: bool
    dnc: str


payloads = st.builds(
    Sent,
    st.sampled_from([ADT, FHIR]),
    st.sampled_from("123"),
    st.lists(st.sampled_from(["e1", "e2"]), max_size=1).map(tuple),
    st.lists(st.sampled_from(["GENHOSP", "CLINIC", "FMP"]), max_size=2, unique=True).map(tuple),
    st.booleans(),
    st.sampled_from(["yes", "no"]),
)


@pytest.fixture(scope="module")
def database(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    path = tmp_path_factory.mktemp("identity") / "test.db"
    shutil.copyfile(sqlite_template, path)
    opened = Database.open(f"sqlite:///{path}")
    yield opened
    opened.close()


def identifiers(sent: Sent, prefix: str) -> tuple[Identifier, ...]:
    """The own identifier first, perhaps with one of the other source or a shared one, which may equal another patient's own value."""
    case = str.lower if sent.spelled else str
    own = Identifier(case(OWNS[sent.source]), case("MR"), f"{prefix}{sent.own}")
    links = [Identifier(case("EMPI"), "PI", f"{prefix}{one}") for one in sent.links]
    others = [Identifier(case(one), "MR", f"{prefix}1") for one in sent.others if one != OWNS[sent.source]]
    return (own, *links, *others)


def found(site: Site, authority: str, value: str) -> Patient | None:
    try:
        return site.store.find(site.enterprise, PatientRef(authority=authority, type="MR", value=value))
    except StoreError:
        return None


@settings(max_examples=120)
@given(history=st.lists(payloads, min_size=1, max_size=14), size=st.integers(1, 4))
def test_different_patients_stay_separate_and_no_refusal_is_lost(database: Database, history: list[Sent], size: int) -> None:
    site, prefix = Site(database, ENTERPRISE), f"x{next(PREFIXES)}-"
    accepted: dict[tuple[str, str], str] = {}
    linked: dict[tuple[str, str], set[str]] = {}
    for start in range(0, len(history), size):
        batch = history[start : start + size]
        for source in OWNS:
            mine = [(start + number, sent) for number, sent in enumerate(batch) if sent.source == source]
            items = [says(identifiers(sent, prefix), seconds, {"do_not_contact": sent.dnc}) for seconds, sent in mine]
            for (_, sent), outcome in zip(mine, site.outcomes(*items, source=source) if items else (), strict=True):
                assert (outcome.outcome == "rejected") == (outcome.reason == "identifier_conflict")
                if outcome.outcome != "rejected":
                    accepted[(OWNS[source], sent.own)] = sent.dnc
                    linked.setdefault((OWNS[source], sent.own), set()).update(sent.links)
    patients = {key: found(site, key[0], f"{prefix}{key[1]}") for key in accepted}
    for key, patient in patients.items():
        assert patient is not None, "an accepted patient is not found by its own identifier"
        together = [other for other, one in patients.items() if one is not None and one.id == patient.id]
        assert len({authority for authority, _ in together}) == len(together), "a patient has two own identifiers of one issuer"
        assert len(together) == 1 or all(linked[other] for other in together), "joined without a link"
        assert patient.contact.do_not_contact == ("yes" if any(accepted[other] == "yes" for other in together) else "no"), key


STOPS = {"do_not_contact": "yes", "consent.sms": "denied", "topic.recall.sms": "denied", "preferred_method": "none", "deceased": True}
ALLOWS = {"do_not_contact": "no", "consent.sms": "granted", "topic.recall.sms": "granted", "preferred_method": "sms", "language": "es"}
statements = st.tuples(
    st.sampled_from([ADT, FHIR]),
    st.integers(0, 9),
    st.one_of(
        st.sampled_from(sorted(STOPS)).map(lambda name: (name, True)), st.sampled_from(sorted(ALLOWS)).map(lambda name: (name, False))
    ),
)


@settings(max_examples=60)
@given(history=st.lists(statements, min_size=1, max_size=8))
def test_an_unmerge_keeps_every_refusal_and_nothing_else(database: Database, history: list[tuple[str, int, tuple[str, bool]]]) -> None:
    prefix = f"y{next(PREFIXES)}-"
    together = replace(ENTERPRISE, sources=tuple(Source(name, name, patient_id=(("GENHOSP", "MR"),)) for name in OWNS))
    site = Site(database, together)
    stopped = set()
    for number, (source, seconds, (name, stops)) in enumerate(history):
        stated = {name: STOPS[name] if stops else ALLOWS[name]}
        outcome = site.apply(says((Identifier("GENHOSP", "MR", f"{prefix}1"),), seconds, stated, evidence=f"{number}"), source=source)
        stopped |= {name} if stops and outcome == ["applied"] else set()
    with database.write(site.enterprise) as transaction:
        transaction.exec_driver_sql(
            "INSERT INTO identifiers (enterprise, value, authority, type, origin, patient_id, kind) SELECT enterprise,"
            f" '{prefix}2', authority, type, origin, patient_id, '' FROM identifiers WHERE value = '{prefix}1'"
        )
    check = IdentityCheck(site.store, site.enterprise)
    patient = found(site, "GENHOSP", f"{prefix}1")
    assert patient is not None
    assert len(check.split(parsed(patient.id) or 0, actor=Actor(Role.OPERATOR, "kim"), now=site.tick())) == 2
    for value in ("1", "2"):
        parted = found(site, "GENHOSP", f"{prefix}{value}")
        assert parted is not None
        assert {name: one.value for name, one in parted.preferences.items() if one.value is not None} == {
            name: STOPS[name] for name in stopped
        }
        assert {mark.source for mark in parted.marks} == {source for source, _, _ in history}
