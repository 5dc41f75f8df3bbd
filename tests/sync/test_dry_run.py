from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from adapters.base import Fetch, Filtered
from store.db.database import Database
from store.domain.patient import PatientRef
from store.errors import PatientUnknown
from store.patients.preferences import Preferences
from store.preference import Phone
from store.runs.runs import Journal
from sync.commands import difference
from sync.config import Backoff, SafeguardRule
from sync.dry_run import Difference, dry_run
from sync.engine import Engine
from sync.metrics import Metrics
from sync.run import Lane
from tests.factories import CLINIC, FEED, clinic, statements
from tests.fakes import FakeAdapter, FakeClock, batch

LANE = Lane(FEED, CLINIC)


@pytest.fixture
def engine(database: Database) -> Engine:
    backoff = Backoff(1, timedelta(0), timedelta(0))
    return Engine(database, Preferences(database, {CLINIC: clinic()}), Journal(database), FakeClock(), Metrics(), backoff)


def test_a_dry_run_shows_the_difference_and_changes_nothing(engine: Engine) -> None:
    engine.run(LANE, FakeAdapter(batch(statements("A", {"do_not_contact": "yes", "language": "en"}))), Fetch(), "incremental")
    before = engine.preferences.find(CLINIC, PatientRef(value="A"))
    later = statements("A", {"do_not_contact": "no", "language": "en"}, minutes=5)
    result = dry_run(engine, LANE, FakeAdapter(batch(later, Filtered("not_for_us", "x"))), Fetch())
    assert result.counts == {"applied": 1, "filtered": 1}
    assert result.changes == [Difference(before.id, "do_not_contact", "yes", "no", "more_contactable")]
    assert engine.preferences.find(CLINIC, PatientRef(value="A")) == before
    assert engine.journal.cursor(FEED) is None


def test_a_new_patient_has_no_id_yet(engine: Engine) -> None:
    result = dry_run(engine, LANE, FakeAdapter(batch(statements("NEW"), cursor="9")), Fetch())
    assert result.changes == [Difference("", "do_not_contact", None, "yes", "new_patient", 1)]
    assert len(engine.journal.runs(source=FEED)) == 0
    with pytest.raises(PatientUnknown):
        engine.preferences.find(CLINIC, PatientRef(value="NEW"))


def test_dry_run_json_has_the_shape_of_a_run(engine: Engine) -> None:
    shown = dry_run(engine, LANE, FakeAdapter(batch(statements("A"))), Fetch()).as_dict()
    assert (shown["run"], shown["status"], shown["counts"]["applied"]) == (None, "dry-run", 1)


def phone(number: str) -> Phone:
    return Phone(number, "cell", number, 1, textable=True)


@pytest.mark.parametrize(
    ("attribute", "before", "after", "direction"),
    [
        ("do_not_contact", "yes", "no", "more_contactable"),
        ("do_not_contact", "yes", None, "more_contactable"),
        ("do_not_contact", "no", "yes", "less_contactable"),
        ("do_not_contact", "no", None, "other"),
        ("deceased", True, False, "more_contactable"),
        ("deceased", False, True, "less_contactable"),
        ("consent.sms", "denied", "granted", "more_contactable"),
        ("consent.sms", "granted", "denied", "less_contactable"),
        ("topic.billing.sms", "denied", "granted", "more_contactable"),
        ("preferred_method", "none", "sms", "more_contactable"),
        ("preferred_method", "sms", "voice", "other"),
        ("phones", (phone("+12175550101"),), (phone("+12175550102"),), "more_contactable"),
        ("phones", (phone("+12175550101"),), (phone("+12175550101"), phone("+12175550102")), "other"),
        ("language", "en", "es", "other"),
    ],
)
def test_a_dry_run_and_the_safeguard_agree(engine: Engine, attribute: str, before: Any, after: Any, direction: str) -> None:
    """The dry run calls a change "more contactable" exactly if a run would hold it."""
    engine.run(LANE, FakeAdapter(batch(statements("A", {attribute: before}))), Fetch(), "incremental")
    adapter = FakeAdapter(batch(statements("A", {attribute: after}, minutes=5)))
    result = dry_run(engine, LANE, adapter, Fetch())
    assert [one.direction for one in result.changes if one.attribute == attribute] == [direction]
    assert {name: len(patients) for name, patients in result.flips.items()} == {
        name: int(name == direction) for name in ("more_contactable", "less_contactable")
    }
    strict = Engine(
        engine.database,
        engine.preferences,
        engine.journal,
        engine.clock,
        Metrics(),
        engine.backoff,
        safeguards={CLINIC: SafeguardRule(0, 0)},
    )
    run = strict.run(LANE, FakeAdapter(batch(statements("A", {attribute: after}, minutes=5))), Fetch(), "full")
    assert (run.status == "held") == (direction == "more_contactable")


def test_new_patients_are_counted_and_do_not_count_as_changes_of_contact(engine: Engine) -> None:
    result = dry_run(engine, LANE, FakeAdapter(batch(statements("A"), statements("B"))), Fetch())
    assert {(one.patient, one.new, one.direction) for one in result.changes} == {("", 1, "new_patient"), ("", 2, "new_patient")}
    assert (result.new, result.as_dict()["new_patients"]) == (2, 2)
    assert result.as_dict()["flips"] == {"more_contactable": 0, "less_contactable": 0}


def test_the_text_output_has_a_summary_and_a_sample(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    engine.run(LANE, FakeAdapter(batch(statements("A", {"do_not_contact": "yes", "deceased": True}))), Fetch(), "incremental")
    new = [statements(f"N{number}", {"phones": (phone("+12175550101"),), "language": "en"}) for number in range(30)]
    later = statements("A", {"do_not_contact": "no", "deceased": False}, minutes=5)
    result = dry_run(engine, LANE, FakeAdapter(batch(*new, later)), Fetch())
    difference.show(result, as_json=False, everything=False)
    head, groups, changes = capsys.readouterr().out.split("\n\n")
    assert head.splitlines()[1] == "patients: 1 more contactable, 0 less contactable, 30 new"
    counted = [line.rsplit(maxsplit=2) for line in groups.splitlines()[1:]]
    assert [(*line[:2], int(line[2])) for line in counted] == [
        ("more contactable", "deceased", 1),
        ("more contactable", "do_not_contact", 1),
        ("new patient", "language", 30),
        ("new patient", "phones", 30),
    ]
    lines = changes.splitlines()
    assert lines[-1] == "and 42 more changes; --all shows every change"
    rows = lines[1:-1]
    assert len(rows) == 20
    assert [("more contactable" in row) for row in rows[:3]] == [True, True, False]
    assert any("phones" in row and "unknown" in row and "+12175550101 (cell, textable)" in row for row in rows)
    assert any(row.startswith("new patient 1 ") for row in rows)
    assert not [row for row in rows if row.startswith(" ") or any(word in row for word in ("Phone(", "None", "True", "False"))]
    assert rows[0].split()[1:4] == ["deceased", "yes", "no"]
    difference.show(result, as_json=False, everything=True)
    assert len(capsys.readouterr().out.split("\n\n")[2].splitlines()) == 1 + 62


def test_what_permits_contact_is_kept_after_many_other_changes(engine: Engine) -> None:
    engine.run(LANE, FakeAdapter(batch(statements("A", {"do_not_contact": "yes"}))), Fetch(), "incremental")
    new = [statements(f"N{number}", {"language": "en"}) for number in range(5)]
    later = statements("A", {"do_not_contact": "no"}, minutes=5)
    result = dry_run(engine, LANE, FakeAdapter(batch(*new, later)), Fetch(), room=3)
    assert ([one.direction for one in result.changes].count("new_patient"), result.changes[-1].direction) == (3, "more_contactable")
    assert (result.more, result.groups.total(), result.as_dict()["more_changes"]) == (2, 6, 2)
    assert dry_run(engine, LANE, FakeAdapter(batch(*new, later)), Fetch(), room=None).more == 0


def test_dry_run_json_has_values_as_on_the_facesheet(engine: Engine) -> None:
    result = dry_run(engine, LANE, FakeAdapter(batch(statements("A", {"phones": (phone("+12175550101"),)}))), Fetch())
    (change,) = result.as_dict()["changes"]
    assert (change["before"], change["after"][0]["number"], change["after"][0]["textable"]) == (None, "+12175550101", True)
