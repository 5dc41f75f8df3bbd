"""The page of a source: intake by hour, agreement with the EMR, the last check, unmapped codes, the configuration."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from store.runs.pushed_reads import PushedReads
from store.runs.queued_runs import QueuedRuns
from store.runs.source_checks import Checked, Findings
from store.runs.source_stats import Arrivals, Hour
from store.web.pages.chart import chart
from tests.store.web.conftest import NOW
from tests.store.web.pages.conftest import Pages
from tests.store.web.pages.test_console import rejected
from tests.store.web.pages.test_undelivered import dead

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SOURCE = "/sources/genhosp-adt"


def record_intake(pages: Pages, ago: timedelta = timedelta(), **outcomes: int) -> None:
    with pages.store.database.write("general") as transaction:
        Arrivals(pages.store.database).count(transaction, "genhosp-adt", "general", outcomes, now=NOW - ago)


def full_read(pages: Pages, **counts: int) -> str:
    run = pages.journal.start("genhosp-adt", "general", "full", now=pages.moment())
    with pages.store.database.write("general") as transaction:
        pages.journal.progress(transaction, run, counts, None, now=pages.moment())
    pages.journal.finish(run, "done", None, pages.moment())
    pages.moment.advance(timedelta(minutes=1))
    return run.id


def test_a_chart_scales_to_its_highest_hour_and_shows_the_smallest() -> None:
    found = chart([Hour(NOON, 1000, 10, 500), Hour(NOON), Hour(NOON, 1, 1, 0)])
    assert [(bar.height, bar.rejected_height) for bar in found.bars] == [(100, 50), (0, 0), (2, 0)]
    assert [bar.records for bar in found.busy] == [1, 1000]
    assert found.summary == "1,001 records in the last 3 hours, peak 1,000 per hour; 500 could not be used."
    assert chart([Hour(NOON)]).summary == "No records in the last 1 hours."


def test_intake_has_a_chart_a_description_and_a_table(fresh_pages: Pages) -> None:
    record_intake(fresh_pages, applied=1200, unchanged=34)
    record_intake(fresh_pages, timedelta(hours=3), rejected=2)
    seen = fresh_pages.signed_in("operator").get(SOURCE)
    description = "1,236 records in the last 48 hours, peak 1,234 per hour; 2 could not be used."
    assert f'role="img" aria-label="Intake by hour. {description}"' in seen.response.text
    assert seen.text.count(description) == 1
    assert "1,234 1,200 0" in seen.text
    assert " style=" not in seen.response.text
    assert description in fresh_pages.signed_in("operator").get("/sources").text


def test_a_source_without_intake_has_a_text_instead_of_a_chart(pages: Pages) -> None:
    seen = pages.signed_in("operator").get(SOURCE)
    assert "No records in the last 48 hours." in seen.text
    assert 'class="bars"' not in seen.response.text


def test_without_a_comparison_the_page_says_what_to_run(pages: Pages) -> None:
    browser = pages.signed_in("operator")
    assert "emr-sync resync genhosp-adt --full --dry-run compares all records and changes nothing" in browser.get(SOURCE).text
    assert "not compared yet" in browser.get("/sources").text


def test_agreement_is_shown_with_its_basis_and_time(fresh_pages: Pages) -> None:
    full_read(fresh_pages, applied=3)
    browser = fresh_pages.signed_in("operator")
    assert "Not compared yet." in browser.get(SOURCE).text
    run = full_read(fresh_pages, unchanged=1990, applied=8, held=1, stale=1, rejected=4)
    seen = browser.get(SOURCE)
    assert "99.5% of 2,000 records match." in seen.text
    assert "9 contain changes or new patients, which are applied or held by the safeguard." in seen.text
    assert "1 is older than data received before." in seen.text
    assert "4 could not be used and were not compared." in seen.text
    assert f'href="/runs/{run}"' in seen.response.text
    assert "99.5% of 2,000 records" in browser.get("/sources").text


def test_a_dry_run_shows_how_many_would_become_more_or_less_contactable(fresh_pages: Pages) -> None:
    counts = {"unchanged": 9, "applied": 1, "more_contactable": 0, "less_contactable": 1}
    Findings(fresh_pages.store.database).keep_comparison("genhosp-adt", "general", counts, now=NOW)
    text = fresh_pages.signed_in("operator").get(SOURCE).text
    assert "90.0% of 10 records" in text
    assert "If applied, 0 patients would become more contactable and 1 less." in text
    assert "From a dry run, which changed nothing" in text


def test_the_result_of_the_last_check_is_shown_with_its_time(fresh_pages: Pages) -> None:
    browser = fresh_pages.signed_in("operator")
    assert "Not checked yet. emr-sync check genhosp-adt connects to the EMR" in browser.get(SOURCE).text
    lines = (
        Checked("token", False, "the server granted fewer scopes than requested"),
        Checked("plan", True, "full reads, compared by content"),
    )
    Findings(fresh_pages.store.database).keep_check("genhosp-adt", "general", lines, now=NOW)
    seen = browser.get(SOURCE)
    assert "Token failed the server granted fewer scopes than requested" in seen.text
    assert "Plan full reads, compared by content" in seen.text
    assert "Checked" in seen.text


def test_push_and_write_back_are_shown_where_they_are_configured(fresh_pages: Pages) -> None:
    browser, reads, now = fresh_pages.signed_in("operator"), PushedReads(fresh_pages.store.database), fresh_pages.moment()
    seen = browser.get(SOURCE).text
    assert "Last event none yet Patients to read none Missed nothing No signed notification has been received." in seen
    assert "Written by fhir.patient Waiting none Not accepted by the EMR none" in seen
    reads.add("genhosp-adt", "general", {"p-1"}, now, "subscription", lambda known: (3, True), now=now)
    reads.note_missed("genhosp-adt", "general", 12, now)
    dead(fresh_pages)
    fresh_pages.moment.advance(timedelta(minutes=5))
    seen = browser.get(SOURCE)
    assert "Last event 5 minutes ago" in seen.text
    assert "Patients to read 2" in seen.text, "the patient, and everything because of the gap"
    assert "Missed 12 changes , found by a pull" in seen.text
    assert "1 gap in the event numbers" in seen.text
    assert "No signed notification" not in seen.text
    assert "Not accepted by the EMR 1 : see the reasons" in seen.text
    assert 'href="/undelivered"' in seen.response.text
    other = fresh_pages.signed_in("operator", "local").get("/sources/clinic").text
    assert ("Last event" in other, "Write-back" in other) == (False, False)


def test_causes_of_rejections_are_listed(fresh_pages: Pages) -> None:
    rejection = rejected(fresh_pages)
    seen = fresh_pages.signed_in("operator").get(SOURCE)
    assert "1 Code unmapped: Do Not Contact PV1-18" in seen.text
    assert f'href="/rejections/{rejection}/cause"' in seen.response.text


def test_rejections_are_filtered_by_source_and_reason(fresh_pages: Pages) -> None:
    rejected(fresh_pages)
    browser = fresh_pages.signed_in("operator")
    assert "PV1-18" in browser.get("/rejections?source=genhosp-adt&reason=code_unmapped").text
    other = browser.get("/rejections?source=genhosp-adt&reason=value_absent").text
    assert "No rejections match." in other
    assert "Filtered by “value absent” from genhosp-adt" in other


def test_the_configuration_is_shown_with_its_mapping(pages: Pages) -> None:
    text = pages.signed_in("operator").get(SOURCE).text
    assert "Adapter hl7v2.files" in text
    assert "Do Not Contact ZCP-2 DNC → yes OK → no another code: reject" in text
    assert "after 26 hours without data" in text


def test_a_run_waiting_for_a_worker_is_shown_and_refreshes(fresh_pages: Pages) -> None:
    queued = QueuedRuns(fresh_pages.journal)
    run = queued.add("genhosp-adt", "general", "resync", now=fresh_pages.moment(), enqueue=lambda transaction, run: None)
    browser = fresh_pages.signed_in("operator")
    seen = browser.get(f"/runs/{run.id}")
    assert "QUEUED" in seen.text
    assert "Waiting for a worker" in seen.text
    assert 'data-live="1"' in seen.response.text
    assert "http-equiv" in seen.response.text
    queued.refuse(run.id, "no machine knows it", fresh_pages.moment())
    assert 'data-live="off"' in browser.get(f"/runs/{run.id}").response.text


def test_a_live_part_is_sent_alone_to_scripts_and_as_a_page_to_browsers(fresh_pages: Pages) -> None:
    browser = fresh_pages.signed_in("operator")
    run = fresh_pages.journal.start("genhosp-adt", "general", "resync", now=fresh_pages.moment())
    for path in ("/sources", SOURCE, f"/runs/{run.id}"):
        part = browser.get(path, **{"x-emr-sync-live": "1"}).response.text
        assert part.lstrip().startswith('<div class="sheet" data-live=')
        assert "<html" not in part
        whole = browser.get(path).response.text
        assert f'<noscript><meta http-equiv="refresh" content="5; url={path}?live=1"></noscript>' in whole
    fresh_pages.journal.finish(run, "done", None, fresh_pages.moment())
    whole = browser.get(f"/runs/{run.id}").response.text
    assert "http-equiv" not in whole
    assert 'data-live="off"' in whole


def test_automatic_refresh_does_not_keep_a_session_alive(fresh_pages: Pages) -> None:
    browser = fresh_pages.signed_in("operator")
    fresh_pages.moment.advance(timedelta(minutes=20))
    assert browser.get("/sources?live=1").status == 200
    assert browser.get("/sources", **{"x-emr-sync-live": "1"}).status == 200
    fresh_pages.moment.advance(timedelta(minutes=20))
    assert browser.get("/sources").where == "/sign-in?again=1"
