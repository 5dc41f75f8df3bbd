"""The rehearsal EMR's extracts, read by the real adapter into a store: right preferences, and faults that permit and lose nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters.base import Fetch
from adapters.rehearsal.dialect import AUTHORITY, METHOD_VALUES
from adapters.rehearsal.emr import RehearsalEmr
from adapters.rehearsal.extract import DELTA, EXTRACT_FAULTS, GAP, SHORT, SNAPSHOT
from adapters.rehearsal.extract_layouts import LAYOUTS, MEDIA
from adapters.rehearsal.population import InventedPerson
from store.domain.patient import PatientRef
from store.errors import PatientUnknown
from store.runs.runs import Run, RunKind, RunStatus
from sync.config import load
from sync.runtime import Runtime, lane

SOURCE, ENTERPRISE = "extract", "clinic"
PATIENTS = 50
PERMITS = ("granted", "no")
CHANNELS = ("sms", "voice", "email")
REASONS = {
    "lying-trailer": ("trailer_count_mismatch", "trailer_count_mismatch", None),
    "wrong-columns": ("columns_missing",) * 3,
    "short-row": ("row_too_short",) * 3,
    "sequence-gap": ("set_missing",) * 3,
    "other-encoding": ("encoding_wrong",) * 3,
    "zip-bomb": ("file_too_large",) * 3,
    "cut-extract": ("trailer_missing", "archive_damaged", "archive_damaged"),
}
"""The reason of each fault in the layouts wide, long and epic; none where there is no trailer."""
FAULTS = [(layout, fault, reason) for fault, reasons in REASONS.items() for layout, reason in zip(LAYOUTS, reasons, strict=True) if reason]


class EmrClock:
    """The EMR's time, which passes only when a test says so. It is in the past, so that what the EMR stated is not of the future."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)

    def __call__(self) -> datetime:
        return self.now


class ExtractSite:
    """A store that reads the extracts of an EMR."""

    def __init__(self, url: str, folder: Path, layout: str, semantics: str) -> None:
        self.clock = EmrClock()
        self.emr = RehearsalEmr(patients=PATIENTS, seed=3, clock=self.clock)
        self.extracts = self.emr.extracts(folder / "drop", layout, semantics)
        enterprise = {"sync_contact_preferences": True, "default_region": "US", "safeguard": {"floor": 1_000}}
        source = self.extracts.source(enterprise=ENTERPRISE) | {"settle": "0.000001s", "schedule": "never"}
        config = folder / "config.yaml"
        config.write_text(yaml.safe_dump({"database": url, "enterprises": {ENTERPRISE: enterprise}, "sources": {SOURCE: source}}))
        self.runtime = Runtime.open(load(config, {}))

    def tick(self, times: int = 1) -> None:
        """Some patients change a preference; an hour passes."""
        for _ in range(times):
            self.clock.now += timedelta(hours=1)
            self.emr.tick()
            self.clock.now += timedelta(minutes=1)

    def read(self) -> Run:
        feed = self.runtime.feed(SOURCE)
        return self.runtime.engine.run(lane(feed), self.runtime.polled(feed), Fetch(), RunKind.INCREMENTAL)

    def person(self, index: int) -> InventedPerson:
        return self.emr.entry(index).person

    def stored(self) -> dict[int, dict[str, Any]]:
        """What is in force, by patient and attribute; nothing for a patient who is not there."""
        return {index: self._stored(index) for index in range(PATIENTS)}

    def _stored(self, index: int) -> dict[str, Any]:
        try:
            found = self.runtime.preferences.find(ENTERPRISE, PatientRef(authority=AUTHORITY, value=self.person(index).mrn))
        except PatientUnknown:
            return {}
        return {name: one.value for name, one in found.preferences.items() if one.value is not None}

    @property
    def reasons(self) -> list[str]:
        return [one.reason for one in self.runtime.journal.rejections(source=SOURCE)]


@pytest.fixture
def sites(database_url: str, tmp_path: Path) -> Iterator[Any]:
    opened: list[ExtractSite] = []

    def site(layout: str, semantics: str = SNAPSHOT) -> ExtractSite:
        opened.append(ExtractSite(database_url, tmp_path, layout, semantics))
        return opened[-1]

    yield site
    for one in opened:
        one.runtime.close()


def answered(answer: bool | None, yes: str, no: str) -> str | None:
    return None if answer is None else yes if answer else no


def flat(person: InventedPerson) -> dict[str, Any]:
    """What a wide or long extract states about a person."""
    found = {
        "do_not_contact": answered(person.do_not_contact, "yes", "no"),
        "consent.sms": answered(person.texting_ok, "granted", "denied"),
        "preferred_method": METHOD_VALUES.get(person.preferred_method or ""),
    }
    return {name: value for name, value in found.items() if value is not None}


def topic(name: str, *channels: str) -> dict[str, Any]:
    return {f"topic.{name}.{channel}": "granted" if channel in channels else "denied" for channel in CHANNELS}


def epic(person: InventedPerson) -> dict[str, Any]:
    """What Epic's tables state about a person."""
    found: dict[str, Any] = {"deceased": person.deceased_on is not None}
    if person.do_not_contact or person.texting_ok is False:
        found |= topic("appointments")
    elif person.texting_ok or person.do_not_contact is False:
        found |= topic("appointments", "sms" if person.texting_ok else "voice")
    if person.preferred_method:
        found |= topic("reminders", *{"T": ["sms"], "P": ["voice"], "E": ["email"], "L": []}[person.preferred_method])
    return found


def expected(site: ExtractSite) -> dict[int, dict[str, Any]]:
    stated = epic if site.extracts.layout.name == "epic" else flat
    return {index: stated(site.person(index)) for index in range(PATIENTS)}


def mismatches(site: ExtractSite) -> list[int]:
    """The patients of whom something that the EMR states is not in force."""
    stored = site.stored()
    return [index for index, stated in expected(site).items() if not stated.items() <= stored[index].items()]


@pytest.mark.parametrize("semantics", [SNAPSHOT, DELTA])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_extracts_are_read_into_the_preferences_of_the_emr(sites: Any, layout: str, semantics: str) -> None:
    site = sites(layout, semantics)
    site.extracts.write()
    site.read()
    assert mismatches(site) == []
    before = site.stored()
    for _ in range(4):
        site.tick()
        site.extracts.write()
    run = site.read()
    assert (mismatches(site), site.reasons) == ([], [])
    assert site.stored() != before, "something changed"
    changed = sum(site.emr.entry(index).version > 1 for index in range(PATIENTS))
    read = sum(run.counts.values())
    assert read == changed if semantics == DELTA else read >= 4 * (PATIENTS - 10), "a delta has those who changed, a snapshot everybody"


def test_a_wide_extract_has_phones_names_and_times(sites: Any) -> None:
    site = sites("wide")
    site.extracts.write()
    site.read()
    index = next(index for index in range(PATIENTS) if site.person(index).numbers and not site.person(index).restricted)
    found = site.runtime.preferences.find(ENTERPRISE, PatientRef(authority=AUTHORITY, value=site.person(index).mrn))
    assert {one.number for one in found.contact.phones} == {one.e164 for one in site.person(index).numbers}
    assert found.preferences["display_name"].value == f"{site.person(index).given} {site.person(index).family}"


def permitted(site: ExtractSite, before: dict[int, dict[str, Any]]) -> list[tuple[int, str]]:
    """What permits contact now and did not before, although the EMR does not permit it."""
    truth, now = expected(site), site.stored()
    new = [(index, name, value) for index, values in now.items() for name, value in values.items() if value != before[index].get(name)]
    return [(index, name) for index, name, value in new if value in PERMITS and truth[index].get(name) != value]


@pytest.mark.parametrize(("layout", "fault", "reason"), FAULTS)
def test_each_fault_has_its_reason_permits_nothing_and_loses_nothing(sites: Any, layout: str, fault: str, reason: str) -> None:
    site = sites(layout, DELTA)
    site.extracts.write()
    site.read()
    before = site.stored()
    site.tick(3)
    site.emr.faults.spoil_extracts(fault)
    site.extracts.write()
    if fault == GAP:
        site.tick()
        site.extracts.write()
    run = site.read()
    assert reason in site.reasons
    assert run.status == (RunStatus.DONE if fault == SHORT else RunStatus.FAILED), "a whole set must be delivered again"
    assert permitted(site, before) == []
    if fault == GAP:
        assert mismatches(site) != [], "what is in the missing set is not known"
    elif fault != SHORT:
        assert (site.stored(), set(site.reasons)) == (before, {reason}), "nothing of the set was used"
    site.extracts.release()
    if fault != GAP:
        site.extracts.repeat()
    assert site.read().status == RunStatus.DONE
    assert mismatches(site) == []


def test_every_fault_of_extracts_is_tested() -> None:
    assert set(REASONS) == set(EXTRACT_FAULTS)
    assert set(MEDIA.values()) == {"Text message", "Phone", "Email", "Mail"}
