from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from adapters.base import Batch, Fetch, Filtered, Unmappable
from store.db import outage
from store.db.database import Database
from store.db.outage import Unavailable
from store.domain.patient import PatientRef
from store.errors import PatientUnknown, RunActive
from store.patients.preferences import Preferences
from store.preference import Problem
from store.runs.runs import Journal
from sync import retry
from sync.config import Backoff
from sync.engine import Engine
from sync.metrics import Metrics
from sync.run import Lane
from tests.factories import CLINIC, FEED, NOW, clinic, merge, payload, sealing, statements
from tests.fakes import FakeAdapter, FakeClock, FakeMapper, batch, passing, permanent

LANE = Lane(FEED, CLINIC)
AT_ONCE = Backoff(attempts=3, first_wait=timedelta(0), longest_wait=timedelta(seconds=1))


@pytest.fixture
def engine(database: Database) -> Engine:
    return Engine(
        database, Preferences(database, {CLINIC: clinic()}), Journal(database, sealing()), FakeClock(), Metrics(), AT_ONCE, batch_size=4
    )


def do_not_contact(engine: Engine, value: str) -> str:
    return engine.preferences.find(CLINIC, PatientRef(value=value)).contact.do_not_contact


def knows(engine: Engine, value: str) -> bool:
    try:
        engine.preferences.find(CLINIC, PatientRef(value=value))
    except PatientUnknown:
        return False
    return True


def test_a_run_applies_and_counts_the_emrs_statements(engine: Engine) -> None:
    adapter = FakeAdapter(
        batch(statements("A"), statements("B"), Filtered("not_for_us", "x"), Unmappable("odd", "mend it", "x"), cursor="1")
    )
    run = engine.run(LANE, adapter, Fetch(), "incremental")
    assert (run.status, run.error) == ("done", None)
    assert run.counts == {"applied": 2, "filtered": 1, "rejected": 1}
    assert do_not_contact(engine, "A") == "yes"
    assert engine.journal.cursor(FEED) == "1"


def test_repeated_evidence_counts_as_unchanged(engine: Engine) -> None:
    for _ in range(2):
        run = engine.run(LANE, FakeAdapter(batch(statements("A"))), Fetch(), "incremental")
    assert run.counts == {"unchanged": 1}


def test_counts_add_up_over_batches(engine: Engine) -> None:
    adapter = FakeAdapter(*(batch(statements(f"P{number}")) for number in range(5)))
    assert engine.run(LANE, adapter, Fetch(), "incremental").counts == {"applied": 5}


def test_an_incremental_run_starts_at_the_last_cursor(engine: Engine) -> None:
    engine.run(LANE, FakeAdapter(batch(statements("A"), cursor="here")), Fetch(), "incremental")
    second = FakeAdapter(batch(statements("B")))
    engine.run(LANE, second, Fetch(), "incremental")
    assert second.requests == [Fetch(cursor="here")]
    assert engine.journal.cursor(FEED) == "here"


@pytest.mark.parametrize("request_", [Fetch(since=NOW), Fetch(patient="A")], ids=["since a time", "one patient"])
def test_a_partial_read_keeps_the_cursor(engine: Engine, request_: Fetch) -> None:
    engine.run(LANE, FakeAdapter(batch(statements("A"), cursor="monday")), Fetch(), "incremental")
    engine.run(LANE, FakeAdapter(batch(statements("B"), cursor="friday")), request_, "resync")
    assert engine.journal.cursor(FEED) == "monday"


def test_a_partial_read_does_not_count_as_contact_with_the_source(engine: Engine) -> None:
    engine.run(LANE, FakeAdapter(batch(statements("A"))), Fetch(patient="A"), "resync")
    assert engine.journal.last_heard() == {}
    engine.run(LANE, FakeAdapter(batch()), Fetch(), "incremental")
    assert engine.journal.last_heard().keys() == {FEED}


def test_a_batch_larger_than_a_transaction_moves_the_cursor_with_its_last_part(engine: Engine) -> None:
    seen: list[str | None] = []
    items = [statements(f"P{number}") for number in range(9)]
    engine.run(
        LANE, FakeAdapter(batch(*items, cursor="end")), Fetch(), "full", lambda done, total: seen.append(engine.journal.cursor(FEED))
    )
    assert seen == ["end"]
    assert all(knows(engine, f"P{number}") for number in range(9))


def test_a_transient_failure_is_retried_from_the_committed_cursor(engine: Engine) -> None:
    adapter = FakeAdapter(batch(statements("A"), cursor="1"), passing(), batch(statements("B"), cursor="2"))
    run = engine.run(LANE, adapter, Fetch(), "incremental")
    assert (run.status, run.counts) == ("done", {"applied": 2})
    assert [request.cursor for request in adapter.requests] == [None, "1"]


def test_a_persistent_failure_ends_the_run_and_keeps_the_cursor(engine: Engine) -> None:
    adapter = FakeAdapter(batch(statements("A"), cursor="1"), passing(), passing(), passing(), batch(statements("B"), cursor="2"))
    run = engine.run(LANE, adapter, Fetch(), "incremental")
    assert (run.status, run.error) == ("failed", "the EMR is away")
    assert engine.journal.cursor(FEED) == "1"
    assert not knows(engine, "B")


def test_a_page_that_always_fails_is_not_retried_forever(engine: Engine) -> None:
    script = [step for _ in range(9) for step in (batch(statements("A")), passing())]
    adapter = FakeAdapter(*script)
    run = engine.run(LANE, adapter, Fetch(), "incremental")
    assert (run.status, len(adapter.requests)) == ("failed", AT_ONCE.attempts)


def test_cursor_progress_resets_the_retry_count(engine: Engine) -> None:
    script = [step for number in range(9) for step in (batch(statements(f"P{number}"), cursor=str(number)), passing())]
    run = engine.run(LANE, FakeAdapter(*script), Fetch(), "incremental")
    assert (run.status, run.counts) == ("done", {"applied": 9})


def test_a_permanent_failure_is_not_retried(engine: Engine) -> None:
    adapter = FakeAdapter(permanent(), batch(statements("A")))
    run = engine.run(LANE, adapter, Fetch(), "incremental")
    assert (run.status, run.error) == ("failed", "action needed: the key is refused")
    assert len(adapter.requests) == 1


def test_a_source_has_one_run_at_a_time(engine: Engine) -> None:
    engine.begin(LANE, "incremental", Fetch())
    with pytest.raises(RunActive):
        engine.run(LANE, FakeAdapter(), Fetch(), "incremental")


def test_an_unexpected_error_closes_the_run_and_is_reported(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError):
        engine.run(LANE, FakeAdapter(ZeroDivisionError("about a patient")), Fetch(), "incremental")
    (run,) = engine.journal.runs(source=FEED)
    assert (run.status, run.error) == ("failed", "ZeroDivisionError while processing a batch")


def test_a_stop_request_ends_the_run_between_batches(engine: Engine) -> None:
    adapter = FakeAdapter(batch(statements("A"), cursor="1"), engine.stop.set, batch(statements("B"), cursor="2"), batch(statements("C")))
    run = engine.run(LANE, adapter, Fetch(), "incremental")
    assert run.status == "stopped"
    assert "stopped" in (run.error or "")
    assert engine.journal.cursor(FEED) == "2"
    assert not knows(engine, "C")


def test_one_poison_record_does_not_block_the_others(engine: Engine) -> None:
    poison = statements("BAD", {"display_name": "\ud800"})  # no database accepts a lone surrogate
    run = engine.run(LANE, FakeAdapter(batch(statements("A"), poison, statements("B"), statements("C"), cursor="1")), Fetch(), "full")
    assert (run.status, run.counts) == ("done", {"applied": 3, "rejected": 1})
    assert engine.journal.cursor(FEED) == "1"
    (rejection,) = engine.journal.rejections(source=FEED)
    assert (rejection.reason, rejection.locator) == ("not_storable", "test:BAD")
    assert [knows(engine, value) for value in ("A", "B", "C", "BAD")] == [True, True, True, False]


def test_too_many_consecutive_refusals_fail_the_run_and_keep_the_cursor(engine: Engine) -> None:
    poison = [statements(f"BAD{number}", {"display_name": "\ud800"}) for number in range(30)]
    run = engine.run(LANE, FakeAdapter(batch(statements("A"), cursor="1"), batch(*poison, cursor="2")), Fetch(), "incremental")
    assert run.status == "failed"
    assert "records in a row could not be stored" in (run.error or "")
    assert engine.journal.cursor(FEED) == "1"
    assert len(engine.journal.rejections(source=FEED)) == 20


def test_order_within_a_batch_is_kept(engine: Engine) -> None:
    first, second = statements("A", {"do_not_contact": "yes"}), statements("A", {"do_not_contact": "no"}, minutes=1)
    engine.run(LANE, FakeAdapter(batch(first, second)), Fetch(), "incremental")
    assert do_not_contact(engine, "A") == "no"


def test_a_merge_between_statements_is_applied_in_order(engine: Engine) -> None:
    items = (statements("A"), statements("B", {"do_not_contact": "no"}), merge("B", "A", minutes=1), statements("C"))
    run = engine.run(LANE, FakeAdapter(batch(*items)), Fetch(), "incremental")
    assert run.counts == {"applied": 3, "merged": 1}
    assert do_not_contact(engine, "A") == do_not_contact(engine, "B")


def test_a_rejected_record_keeps_its_payload_and_reason(engine: Engine) -> None:
    odd = Unmappable("odd", "fix the mapping", "page:3", path="PID-3")
    engine.run(LANE, FakeAdapter(Batch([odd], None, [b"raw bytes"])), Fetch(), "incremental")
    (summary,) = engine.journal.rejections(source=FEED)
    kept = engine.journal.rejection(summary.id)
    assert (kept.reason, kept.detail, kept.path, kept.locator, kept.scope) == ("odd", "fix the mapping", "PID-3", "page:3", "record")
    assert kept.payload == b"raw bytes"


def test_an_unusable_part_is_rejected_and_the_rest_is_applied(engine: Engine) -> None:
    item = statements("A", problems=(Problem("phone_unusable", "PID-13"),))
    run = engine.run(LANE, FakeAdapter(batch(item)), Fetch(), "incremental")
    assert run.counts == {"applied": 1}
    (kept,) = engine.journal.rejections(source=FEED)
    assert (kept.reason, kept.scope, kept.path) == ("phone_unusable", "field", "PID-13")


def test_received_payloads_are_answered_in_order(engine: Engine) -> None:
    payloads = [payload("A=yes"), payload("#"), payload("junk"), payload("A=yes"), payload("B=no")]
    found = engine.ingest(LANE, FakeMapper(), payloads)
    assert [answer.outcome for answer in found] == ["applied", "filtered", "rejected", "unchanged", "applied"]
    assert found[2].reason == "not_readable"
    assert engine.journal.last_heard().keys() == {FEED}


def test_a_payload_with_several_records_gets_the_worst_outcome(engine: Engine) -> None:
    poison = payload("A=yes;B=\udc80".encode("utf-8", "surrogateescape").decode("latin-1"))
    assert [answer.outcome for answer in engine.ingest(LANE, FakeMapper(), [poison, payload("C=no")])][1] == "applied"


def test_a_mapper_error_affects_only_its_payload(engine: Engine) -> None:
    found = engine.ingest(LANE, FakeMapper(), [payload("!"), payload("A=no")])
    assert [(answer.outcome, answer.reason) for answer in found] == [("rejected", "mapper_failed"), ("applied", "")]
    assert "RuntimeError" in found[0].detail
    assert "breaks its promise" not in found[0].detail


def test_files_are_one_run_and_keep_the_cursor(engine: Engine) -> None:
    engine.run(LANE, FakeAdapter(batch(statements("A"), cursor="1")), Fetch(), "incremental")
    run = engine.feed(LANE, FakeMapper(), (payload(f"P{number}=yes") for number in range(10)))
    assert (run.kind, run.status, run.counts) == ("ingest", "done", {"applied": 10})
    assert engine.journal.cursor(FEED) == "1"


def test_progress_is_reported_after_each_commit(engine: Engine) -> None:
    seen: list[int] = []
    engine.feed(LANE, FakeMapper(), (payload(f"P{number}=yes") for number in range(10)), lambda done, total: seen.append(done))
    assert seen == [4, 8, 10]


def test_a_machine_with_a_wrong_clock_refuses_intake(engine: Engine, dialect: str) -> None:
    if dialect == "sqlite":
        pytest.skip("SQLite has the clock of its program")
    engine.database.clock = lambda: datetime.now(UTC) - timedelta(minutes=20)
    with pytest.raises(Unavailable) as raised:
        engine.ingest(LANE, FakeMapper(), [payload("A=yes")])
    assert (outage.explanation(raised.value), retry.passes(raised.value), knows(engine, "A")) == (outage.CLOCK, True, False)
    run = engine.run(LANE, FakeAdapter(*[batch(statements("B"))] * AT_ONCE.attempts), Fetch(), "incremental")
    assert (run.status, run.error, engine.journal.cursor(FEED)) == ("failed", outage.CLOCK, None)
    engine.database.clock = lambda: datetime.now(UTC) + timedelta(seconds=100)
    engine.ingest(LANE, FakeMapper(), [payload("A=yes")])
    assert do_not_contact(engine, "A") == "yes"
