"""Bulk exports over real sockets, against the rehearsal EMR."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import pytest

from adapters.base import AdapterError, Batch, Fetch, Filtered, IncompleteFetch, Unmappable
from adapters.fhir.bulk import job, manifest
from adapters.fhir.bulk.adapter import BulkAdapter
from adapters.fhir.bulk.export import Export, ExportRunning
from adapters.fhir.dates import instant
from adapters.registry import build
from adapters.rehearsal.emr import RehearsalEmr
from store.preference import PatientStatements
from tests.adapters.fhir.made import ReadBulk, settings

PATIENTS = 55
SECOND = timedelta(seconds=1)  # as precise as a Date header


def adapter(emr: RehearsalEmr, group: str | None = None, **options: Any) -> BulkAdapter:
    source = emr.bulk_source(enterprise="e", group=group)
    authorities = {alias: name for name, aliases in emr.authorities.items() for alias in aliases}
    given = {name: source[name] for name in ("base_url", "auth", "export", "ca") if name in source}
    joined = given | options | {"export": {**given["export"], **options.pop("export", {})}}
    made = settings(adapter="fhir.bulk", mapping=source["mapping"], options=joined, authorities=authorities)
    return ReadBulk(made, sleep=lambda _: None)


def taken(batches: Iterator[Batch], until: int | None = None) -> tuple[list[Any], str | None, list[str]]:
    """What an engine would have committed: items, the last cursor, and what was waited for."""
    items: list[Any] = []
    cursor: str | None = None
    waits: list[str] = []
    for batch in batches:
        cursor = batch.cursor or cursor
        if batch.wait:
            waits.append(batch.wait.what)
        items += batch.items
        if until is not None and len(items) >= until:
            break
    return items, cursor, waits


def to_the_break(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The batches of an export that breaks off."""
    with pytest.raises(IncompleteFetch):
        yield from batches


def names(items: list[Any]) -> set[str]:
    return {item.evidence_id.split("/")[1] for item in items if isinstance(item, PatientStatements)}


def since(cursor: str | None) -> datetime:
    found = instant(job.read(cursor).since)
    assert found is not None
    return found


def everybody(count: int = PATIENTS) -> set[str]:
    return {f"rp-{index}" for index in range(count)}


@pytest.fixture
def emr() -> Iterator[RehearsalEmr]:
    with RehearsalEmr(patients=PATIENTS, seed=5) as made:
        made.exports.file_size = 10
        yield made


def test_registry_builds_the_adapter() -> None:
    assert isinstance(build(settings(adapter="fhir.bulk", options={"base_url": "https://ehr.example/r4"})), BulkAdapter)


def test_the_first_export_brings_everybody_and_is_deleted_at_the_server(emr: RehearsalEmr) -> None:
    items, cursor, waits = taken(adapter(emr).fetch(Fetch()))
    assert names(items) == everybody()
    assert "the server is preparing the export (50%)" in waits
    kept = job.read(cursor)
    assert (bool(kept.since), kept.job, kept.ended) == (True, None, "")
    assert (emr.exports.asked, emr.exports.dropped) == (1, 1)


def test_the_next_export_asks_for_what_changed_since_the_transaction_time(emr: RehearsalEmr) -> None:
    _, cursor, _ = taken(adapter(emr).fetch(Fetch()))
    changed = emr.tick()
    items, later, _ = taken(adapter(emr).fetch(Fetch(cursor=cursor)))
    assert names(items) == {f"rp-{index}" for index in changed}
    assert since(later) >= since(cursor) - SECOND


def test_nothing_changed_is_an_empty_export_that_moves_the_time(emr: RehearsalEmr) -> None:
    _, cursor, _ = taken(adapter(emr).fetch(Fetch()))
    items, later, _ = taken(adapter(emr).fetch(Fetch(cursor=cursor)))
    assert items == []
    assert since(later) >= since(cursor) - SECOND


def test_full_ignores_the_time_of_the_cursor(emr: RehearsalEmr) -> None:
    _, cursor, _ = taken(adapter(emr).fetch(Fetch()))
    items, _, _ = taken(adapter(emr).fetch(Fetch(cursor=cursor, full=True)))
    assert names(items) == everybody()


def test_an_export_that_was_asked_for_is_gone_on_with(emr: RehearsalEmr) -> None:
    first = next(iter(adapter(emr).fetch(Fetch())))
    assert first.cursor is not None
    items, _, _ = taken(adapter(emr).fetch(Fetch(cursor=first.cursor)))
    assert names(items) == everybody()
    assert emr.exports.asked == 1


def test_files_that_are_stored_are_not_fetched_again(emr: RehearsalEmr) -> None:
    state = job.read(next(iter(adapter(emr).fetch(Fetch()))).cursor)
    state = state.with_job(files=_digest(emr, state), done=3)
    items, _, _ = taken(adapter(emr).fetch(Fetch(cursor=state.text())))
    assert names(items) == {f"rp-{index}" for index in range(30, PATIENTS)}
    assert emr.exports.asked == 1


def _digest(emr: RehearsalEmr, state: job.BulkState) -> str:
    assert state.job is not None
    with closing(adapter(emr).rest.client()) as client:
        ready = Export(client).poll(state.job.status)
        while isinstance(ready, ExportRunning):
            ready = Export(client).poll(state.job.status)
    return manifest.digest(manifest.ordered(ready.files, ["Patient"]))


@pytest.mark.parametrize("batches", range(1, 19))
def test_a_run_that_stops_inside_a_file_of_several_batches_goes_on_inside_it(
    emr: RehearsalEmr, batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it stops: no line of a file that was begun is lost, and no file that is stored whole is read again."""
    monkeypatch.setattr("adapters.fhir.bulk.adapter.BATCH", 3)
    cursor: str | None = None
    before: list[Any] = []
    for batch in adapter(emr).fetch(Fetch()):
        cursor = batch.cursor or cursor
        before += batch.items
        batches -= bool(batch.items)
        if not batches:
            break
    again, later, _ = taken(adapter(emr).fetch(Fetch(cursor=cursor)))
    assert names(before) | names(again) == everybody()
    assert len(names(before) & names(again)) <= emr.exports.file_size, "only what came of the file that was begun comes again"
    assert (emr.exports.asked, bool(since(later)), job.read(later).job) == (1, True, None)


def test_a_cursor_inside_a_file_never_names_it_as_stored(emr: RehearsalEmr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.fhir.bulk.adapter.BATCH", 3)
    stored, came = 0, 0
    for batch in adapter(emr).fetch(Fetch()):
        came += len(batch.items)
        under_way = job.read(batch.cursor).job if batch.cursor else None
        stored = under_way.done if under_way else stored
        assert stored <= came // emr.exports.file_size
    assert (came, stored) == (PATIENTS, PATIENTS // emr.exports.file_size)


def test_a_list_of_files_that_changed_is_read_from_its_beginning(emr: RehearsalEmr) -> None:
    first = next(iter(adapter(emr).fetch(Fetch())))
    state = job.read(first.cursor).with_job(files="another list", done=3)
    items, _, _ = taken(adapter(emr).fetch(Fetch(cursor=state.text())))
    assert names(items) == everybody()


def test_an_export_that_the_server_forgot_is_lost_and_the_next_run_asks_anew(emr: RehearsalEmr) -> None:
    first = next(iter(adapter(emr).fetch(Fetch())))
    status = job.read(first.cursor).job
    assert status is not None
    emr.exports.drop(status.status.rpartition("/")[2])
    kept: list[str] = []
    with pytest.raises(AdapterError, match="requested again") as caught:
        kept.extend(batch.cursor for batch in adapter(emr).fetch(Fetch(cursor=first.cursor)) if batch.cursor)
    assert not caught.value.permanent
    assert job.read(kept[-1] if kept else None).job is None


def test_lines_that_come_twice_count_once(emr: RehearsalEmr) -> None:
    emr.faults.repeat_lines = True
    items, _, _ = taken(adapter(emr).fetch(Fetch()))
    assert [item.reason for item in items if isinstance(item, Filtered)] == ["came_again"] * 6
    assert names(items) == everybody()


def test_what_the_server_left_out_is_shown_and_asked_for_again(emr: RehearsalEmr) -> None:
    _, before, _ = taken(adapter(emr).fetch(Fetch()))
    changed = [f"rp-{index}" for index in emr.tick()]
    emr.faults.leave_out(0)
    items, cursor, _ = taken(adapter(emr).fetch(Fetch(cursor=before)))
    (rejected,) = [item for item in items if isinstance(item, Unmappable)]
    assert (rejected.reason, rejected.locator) == ("export_error", "OperationOutcome.3.ndjson:1")
    assert "exception" in rejected.detail
    assert names(items) == set(changed[1:])
    assert job.read(cursor).since == job.read(before).since, "the time must not move past a gap"
    items, _, _ = taken(adapter(emr).fetch(Fetch(cursor=cursor)))
    assert names(items) == set(changed)


def test_a_file_that_is_shorter_than_its_count_is_applied_shown_and_asked_for_again(emr: RehearsalEmr) -> None:
    emr.faults.miscount()
    items, cursor, _ = taken(to_the_break(adapter(emr).fetch(Fetch())))
    assert names(items) == everybody()
    assert {item.reason for item in items if isinstance(item, Unmappable)} == {"export_file_short"}
    assert job.read(cursor).since == ""


def test_a_deletion_says_nothing_about_preferences(emr: RehearsalEmr) -> None:
    _, cursor, _ = taken(adapter(emr).fetch(Fetch()))
    emr.remove(4)
    items, _, _ = taken(adapter(emr).fetch(Fetch(cursor=cursor)))
    assert [(item.reason, item.locator) for item in items] == [("patient_deleted", "Bundle.1.ndjson:1#entry[0]")]


def test_files_without_a_token_are_fetched_without_one() -> None:
    with RehearsalEmr(patients=12, seed=5, open_files=True) as emr:  # its storage refuses whoever shows a token
        items, _, _ = taken(adapter(emr).fetch(Fetch()))
    assert names(items) == everybody(12)


def test_over_tls_with_an_authority_of_its_own() -> None:
    with RehearsalEmr(patients=12, seed=5, tls=True) as emr:
        assert emr.base_url.startswith("https://")
        items, _, _ = taken(adapter(emr).fetch(Fetch()))
        assert names(items) == everybody(12)
        with pytest.raises(AdapterError, match="certificate is not trusted") as caught:
            taken(adapter(emr, ca="").fetch(Fetch()))
    assert caught.value.permanent


def test_one_patient_is_read_without_an_export(emr: RehearsalEmr) -> None:
    items, cursor, _ = taken(adapter(emr).fetch(Fetch(patient="MRN10008")))
    assert (names(items), cursor, emr.exports.asked) == ({"rp-7"}, None, 0)


def test_since_asks_for_an_export_of_its_own(emr: RehearsalEmr) -> None:
    _, cursor, _ = taken(adapter(emr).fetch(Fetch()))
    since = emr.chart.clock() - timedelta(seconds=1)
    changed = emr.tick()
    items, _, _ = taken(adapter(emr).fetch(Fetch(cursor=cursor, since=since)))
    assert names(items) == {f"rp-{index}" for index in changed}


def test_one_export_in_its_window(emr: RehearsalEmr) -> None:
    made = adapter(emr, budget={"bulk_every": 86_400})
    taken(made.fetch(Fetch()))
    again = adapter(emr, budget={"bulk_every": 86_400})
    again.notes = made.notes  # as after a restart
    batch = next(iter(again.fetch(Fetch(cursor="{}"))))
    assert batch.wait is not None
    assert 86_000 < batch.wait.seconds <= 86_400
    assert emr.exports.asked == 1


def test_a_full_read_ends_an_export_of_changes_that_is_under_way(emr: RehearsalEmr) -> None:
    _, cursor, _ = taken(adapter(emr).fetch(Fetch()))
    under_way = next(iter(adapter(emr).fetch(Fetch(cursor=cursor)))).cursor
    items, later, _ = taken(adapter(emr).fetch(Fetch(cursor=under_way, full=True)))
    assert names(items) == everybody()
    assert (emr.exports.asked, emr.exports.under_way, job.read(later).lost) == (3, 0, 0)


def test_a_full_read_goes_on_with_a_full_export_that_is_under_way(emr: RehearsalEmr) -> None:
    under_way = next(iter(adapter(emr).fetch(Fetch(full=True)))).cursor
    items, _, _ = taken(adapter(emr).fetch(Fetch(cursor=under_way, full=True)))
    assert (names(items), emr.exports.asked) == (everybody(), 1)


def test_a_dry_read_leaves_what_is_under_way(emr: RehearsalEmr) -> None:
    emr.exports.most = 2
    under_way = next(iter(adapter(emr).fetch(Fetch()))).cursor
    taken(adapter(emr).fetch(Fetch(cursor=under_way, dry=True)))
    items, _, _ = taken(adapter(emr).fetch(Fetch(cursor=under_way)))
    assert (names(items), emr.exports.asked) == (everybody(), 2)


def test_in_quiet_hours_nothing_is_asked(emr: RehearsalEmr) -> None:
    now = emr.chart.clock()
    hours = f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=2):%H:%M}"
    for made in (adapter(emr, budget={"quiet_hours": [hours]}), adapter(emr, budget={"quiet_hours": [hours]}).rest):
        batch = next(iter(made.fetch(Fetch())))
        assert batch.wait is not None
        assert 6000 < batch.wait.seconds <= 7200
    assert (emr.exports.asked, emr.desk.issued) == (0, 0)


def test_requests_are_paid_for_from_the_notes(emr: RehearsalEmr) -> None:
    slept: list[float] = []
    first = adapter(emr, budget={"requests_per_minute": 60})
    first.budget.sleep = slept.append
    taken(first.fetch(Fetch(patient="MRN10008")))
    assert len(slept) >= 2, "the token and the read are requests, too"
    again = adapter(emr, budget={"requests_per_minute": 60})
    again.notes, again.budget.sleep = first.notes, slept.append
    before = len(slept)
    taken(again.fetch(Fetch(patient="MRN10008")))
    assert slept[before] > 0, "a restart does not begin with a full purse"


def test_a_second_export_while_one_is_under_way_is_tried_later(emr: RehearsalEmr) -> None:
    next(iter(adapter(emr).fetch(Fetch())))
    with pytest.raises(AdapterError, match="429") as caught:
        taken(adapter(emr).fetch(Fetch()))
    assert (caught.value.permanent, caught.value.retry_after) == (False, 120.0)


# Groups


def test_a_group_is_exported_and_its_members_are_known(emr: RehearsalEmr) -> None:
    emr.exports.groups["reminders"] = [1, 2, 3]
    items, _, _ = taken(adapter(emr, group="reminders").fetch(Fetch()))
    assert names(items) == {"rp-1", "rp-2", "rp-3"}


def test_who_joins_a_group_with_old_data_is_read(emr: RehearsalEmr) -> None:
    emr.exports.groups["reminders"] = [1, 2, 3]
    made = adapter(emr, group="reminders")
    _, cursor, _ = taken(made.fetch(Fetch()))
    emr.exports.groups["reminders"] = [2, 3, 40, 41]
    items, cursor, _ = taken(made.fetch(Fetch(cursor=cursor)))
    assert names(items) == {"rp-40", "rp-41"}
    emr.exports.groups["reminders"] = [1, 2, 3, 40, 41]
    items, _, _ = taken(made.fetch(Fetch(cursor=cursor)))
    assert names(items) == {"rp-1"}, "who left and came back may have changed in between"


def joined(emr: RehearsalEmr, *, by_name: bool = True, **options: Any) -> tuple[BulkAdapter, str | None]:
    """A group that is exported, and that some more join then than are read one by one."""
    emr.exports.groups["reminders"], emr.exports.by_name = [1, 2, 3], by_name
    made = adapter(emr, group="reminders", **options)
    _, cursor, _ = taken(made.fetch(Fetch()))
    emr.exports.groups["reminders"] = [2, 3, *range(20, 40)]
    return made, cursor


NEW = {f"rp-{index}" for index in range(20, 40)}


def test_many_who_join_a_group_come_with_an_export_of_their_own(emr: RehearsalEmr) -> None:
    made, cursor = joined(emr)
    items, later, _ = taken(made.fetch(Fetch(cursor=cursor)))
    assert names(items) == NEW
    assert (emr.exports.asked, emr.exports.dropped, emr.exports.under_way) == (3, 3, 0), "everybody's, theirs, and what changed"
    assert since(later) >= since(cursor) - SECOND
    items, _, _ = taken(made.fetch(Fetch(cursor=later)))
    assert (items, emr.exports.asked) == ([], 4)


@pytest.mark.parametrize("options", [{}, {"budget": {"bulk_every": 0.001}}])
def test_where_patients_cannot_be_named_they_are_read_one_by_one(emr: RehearsalEmr, options: dict[str, Any]) -> None:
    made, cursor = joined(emr, by_name=bool(options), **options)
    items, _, _ = taken(made.fetch(Fetch(cursor=cursor)))
    assert names(items) == NEW
    assert emr.exports.asked == 2


def test_an_export_of_those_who_joined_is_gone_on_with(emr: RehearsalEmr) -> None:
    made, cursor = joined(emr)
    first = next(batch for batch in made.fetch(Fetch(cursor=cursor)) if batch.cursor)
    under_way = job.read(first.cursor)
    assert under_way.job is not None
    assert under_way.job.joined
    assert under_way.since == job.read(cursor).since, "it says nothing of the others"
    items, later, _ = taken(made.fetch(Fetch(cursor=first.cursor)))
    assert (names(items), emr.exports.asked) == (NEW, 3)
    assert job.read(later).job is None


def test_those_who_joined_and_are_stored_are_not_read_again_when_the_run_ends_before_the_others(emr: RehearsalEmr) -> None:
    made, cursor = joined(emr)
    kept = cursor
    for batch in made.fetch(Fetch(cursor=cursor)):
        kept = batch.cursor or kept
        state = job.read(kept)
        if state.job and not state.job.joined and emr.exports.asked == 3:
            break  # the process dies when everybody's export is asked for
    emr.exports.groups["reminders"].append(41)
    items, later, _ = taken(made.fetch(Fetch(cursor=kept)))
    assert names(items) == set()
    items, _, _ = taken(made.fetch(Fetch(cursor=later)))
    assert names(items) == {"rp-41"}


def test_who_is_left_out_of_that_export_is_read_one_by_one(emr: RehearsalEmr) -> None:
    made, cursor = joined(emr)
    emr.faults.leave_out(25)
    items, _, _ = taken(made.fetch(Fetch(cursor=cursor)))
    assert names(items) == NEW
    assert [one.reason for one in items if isinstance(one, Unmappable)] == ["export_error"]


def test_a_dry_read_asks_for_no_export_of_those_who_joined(emr: RehearsalEmr) -> None:
    made, cursor = joined(emr)
    items, _, _ = taken(made.fetch(Fetch(cursor=cursor, dry=True)))
    assert (names(items), emr.exports.asked) == (NEW, 2)


def test_a_dry_read_does_not_make_new_members_old(emr: RehearsalEmr) -> None:
    emr.exports.groups["reminders"] = [1, 2]
    made = adapter(emr, group="reminders")
    _, cursor, _ = taken(made.fetch(Fetch()))
    emr.exports.groups["reminders"] = [1, 2, 40]
    for request in (Fetch(cursor=cursor, dry=True), Fetch(cursor=cursor, since=emr.chart.clock()), Fetch(cursor=cursor)):
        items, _, _ = taken(made.fetch(request))
        assert names(items) == {"rp-40"}


def test_members_that_nobody_remembers_mean_an_export_of_everybody(emr: RehearsalEmr) -> None:
    emr.exports.groups["reminders"] = [1, 2, 3]
    _, cursor, _ = taken(adapter(emr, group="reminders").fetch(Fetch()))
    items, _, _ = taken(adapter(emr, group="reminders").fetch(Fetch(cursor=cursor)))  # another process, without its notes
    assert names(items) == {"rp-1", "rp-2", "rp-3"}


def test_a_group_that_is_not_there_needs_a_person(emr: RehearsalEmr) -> None:
    with pytest.raises(AdapterError, match=r"export\.group") as caught:
        taken(adapter(emr, group="nobody").fetch(Fetch()))
    assert caught.value.permanent


# Settings and check


@pytest.mark.parametrize(
    ("export", "named"),
    [
        ({"level": "group"}, "export.group"),
        ({"level": "patient", "group": "x"}, "export.group"),
        ({"give_up_after": 1}, "give_up_after"),
    ],
)
def test_wrong_settings_are_named_before_anything_is_opened(export: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        BulkAdapter(settings(adapter="fhir.bulk", options={"base_url": "https://ehr.example/r4", "export": export}))


def test_check_tells_the_plan_and_asks_for_no_export(emr: RehearsalEmr) -> None:
    findings = list(adapter(emr, group="everybody", budget={"quiet_hours": ["01:00-02:00"]}).check())
    assert [(one.what, one.ok) for one in findings] == [
        ("token", True),
        ("capability", True),
        ("export", True),
        ("group", True),
        ("plan", True),
        ("budget", True),
    ]
    assert "Group/everybody/$export" in findings[4].detail
    assert "quiet from 01:00 to 02:00" in findings[5].detail
    assert emr.exports.asked == 0


def test_check_passes_on_a_server_without_metadata_as_the_sync_does(emr: RehearsalEmr) -> None:
    emr.faults.no_metadata = True
    findings = list(adapter(emr).check())
    assert [one.detail for one in findings if not one.ok] == []
    assert "the first run will show" in next(one.detail for one in findings if one.what == "export")
    items, _, _ = taken(adapter(emr).fetch(Fetch()))
    assert names(items) == everybody()


@pytest.mark.parametrize("status", [403, 500])
def test_one_who_joined_and_cannot_be_read_holds_up_nobody_and_is_tried_again(emr: RehearsalEmr, status: int) -> None:
    emr.exports.groups["reminders"] = [1, 2, 3]
    made = adapter(emr, group="reminders")
    made.rest.sleep = lambda _: None
    _, cursor, _ = taken(made.fetch(Fetch()))
    emr.exports.groups["reminders"] = [1, 2, 3, 40, 41]
    emr.faults.refused_reads = {40: status}
    batches = list(made.fetch(Fetch(cursor=cursor)))
    items, cursor, _ = taken(iter(batches))
    assert names(items) == {"rp-41"}
    assert [item.reason for item in items if isinstance(item, Unmappable)] == ["patient_not_read"]
    assert [batch.note for batch in batches if batch.note] == ["1 of the new group members could not be read; the next run tries again"]
    emr.faults.refused_reads = {}
    items, cursor, _ = taken(made.fetch(Fetch(cursor=cursor)))
    assert names(items) == {"rp-40"}
    assert taken(made.fetch(Fetch(cursor=cursor)))[0] == []


def test_members_of_an_export_with_gaps_do_not_count_as_known(emr: RehearsalEmr) -> None:
    made, cursor = joined(emr, by_name=False)
    emr.exports.groups["reminders"] = list(range(1, 20))
    emr.faults.miscount()
    taken(to_the_break(made.fetch(Fetch(cursor=cursor, full=True))))
    items, cursor, _ = taken(made.fetch(Fetch(cursor=cursor)))
    assert names(items) >= {f"rp-{index}" for index in range(4, 20)}
    assert taken(made.fetch(Fetch(cursor=cursor)))[0] == []
