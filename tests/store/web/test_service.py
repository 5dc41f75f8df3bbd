"""Keys, roles, problem details, settings, the feed, operations, health and the OpenAPI document."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.client import IncompleteRead
from time import monotonic, sleep
from typing import Any

import pytest

from emr_sync_client import Ask, SenderClient, Who
from store import times
from store.db.database import Database
from store.db.tables import ChangeRow
from store.patients.preferences import Preferences
from store.preference import Problem
from store.web.api.health import Health, Readiness
from store.web.api.openapi import OPEN_PATHS
from store.web.http import problem
from store.web.http.auth import Callers
from store.web.http.lanes import Lanes
from tests.spec.access import CALLS
from tests.store.web.conftest import CELL, EARLIER, ENTERPRISES, LINE, NOW, Service, codes, reject, statements


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Basic eDp5", "Bearer esk.key_1.wrong", "esk.key_1.wrong", "Bearer \xe9"])
def test_a_bad_key_is_refused(service: Service, header: str) -> None:
    assert service.call("GET", "/v1/settings", role=None, authorization=header).status == 401


def test_a_revoked_key_is_refused_after_two_seconds_at_most(fresh: Service) -> None:
    number, token = fresh.keys.create("short", "general", "sender", NOW)
    fresh.keys.revoke(number, NOW)
    assert fresh.call("GET", "/v1/changes", role=None, authorization=f"Bearer {token}").status == 401


def test_a_key_that_was_just_used_is_refused_two_seconds_after_it_was_revoked(fresh: Service) -> None:
    number, token = fresh.keys.create("used", "general", "sender", NOW)
    header = f"Bearer {token}"
    assert fresh.call("GET", "/v1/changes", role=None, authorization=header).status == 200
    fresh.keys.revoke(number, NOW)
    revoked = began = monotonic()
    while fresh.call("GET", "/v1/changes", role=None, authorization=header).status == 200:
        assert began < revoked + 2.0  # however long the response took
        sleep(0.1)
        began = monotonic()
    assert fresh.call("GET", "/v1/changes", role=None, authorization=header).status == 401


def test_a_key_in_constant_use_is_looked_up_again(fresh: Service) -> None:
    """Using a key must not extend its cache entry."""
    moment = [0.0]
    callers = Callers(fresh.keys, ["general"], Lanes.create(), lambda: NOW, lambda: moment[0])
    number, token = fresh.keys.create("used", "general", "sender", NOW)
    headers = {"authorization": f"Bearer {token}"}
    callers.verify(headers)
    fresh.keys.revoke(number, NOW)
    for moment[0] in (0.5, 1.0, 1.5, 1.9):
        assert callers.remembered(headers) is not None
    moment[0] = 2.01
    assert callers.remembered(headers) is None
    with pytest.raises(problem.ProblemDetails, match="401"):
        callers.verify(headers)


def test_a_key_of_a_removed_enterprise_is_refused(fresh: Service) -> None:
    token = fresh.keys.create("old", "gone", "sender", NOW)[1]
    reply = fresh.call("GET", "/v1/changes", role=None, authorization=f"Bearer {token}")
    assert (reply.status, reply.json["code"]) == (403, "enterprise_unknown")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/", 404),
        ("GET", "/v1/decisions", 405),
        ("DELETE", "/v1/settings", 405),
        ("GET", "/v1//runs/a/b", 404),
    ],
)
def test_an_unknown_path_or_method_gets_problem_details(service: Service, method: str, path: str, status: int) -> None:
    reply = service.call(method, path)
    assert (reply.status, reply.headers["content-type"]) == (status, "application/problem+json")
    assert set(reply.json) >= {"type", "title", "status", "code", "detail"}


def test_a_body_that_is_too_large_gets_problem_details(service: Service) -> None:
    reply = service.call("POST", "/v1/decisions", b'"' + b"x" * 2_000_000 + b'"')
    assert (reply.status, reply.headers["content-type"]) == (413, "application/problem+json")


def test_an_unexpected_error_reveals_nothing_and_logs_no_data(
    fresh: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("MRN1 Pat Example +12175550101")

    monkeypatch.setattr(fresh.store, "known", fail)
    monkeypatch.setattr(fresh.store, "find", fail)
    ask = {"patient": {"value": "MRN1"}, "message_type": "manual", "channels": ["sms"]}
    replies = [fresh.call("POST", "/v1/decisions", ask), fresh.call("POST", "/v1/patients/lookup", {"value": "MRN1"}, role="staff")]
    assert [reply.status for reply in replies] == [500, 500]
    assert "RuntimeError" in caplog.text
    for output in (caplog.text, *(reply.body.decode() for reply in replies)):
        assert "MRN1" not in output
        assert "0101" not in output


def test_a_stream_that_fails_is_aborted(fresh: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("gone")

    monkeypatch.setattr(fresh.store, "known", fail)
    with pytest.raises(IncompleteRead):
        fresh.call("POST", "/v1/decisions/batch", b"{}\n", content_type="application/x-ndjson")


def test_settings_are_read_and_changed(fresh: Service) -> None:
    before = fresh.call("GET", "/v1/settings", role="enterprise", enterprise="local").json
    assert (before["do_not_contact_toggle"], before["when_stale"], before["do_not_contact_toggle_offered"]) == (True, "flag", True)
    after = fresh.call("PUT", "/v1/settings", {"when_stale": "refuse"}, role="enterprise", enterprise="local").json
    assert (after["do_not_contact_toggle"], after["when_stale"]) == (True, "refuse")


def test_a_changed_policy_changes_the_next_decision(fresh: Service) -> None:
    appointment = {"preferred_method": "sms"}
    ask = {"patient": {"value": "MRN2"}, "message_type": "automation", "channels": ["sms"], "line": LINE, "appointment": appointment}
    assert fresh.call("POST", "/v1/decisions", ask).json["reasons"] == ["do_not_contact"]
    held = fresh.call("PUT", "/v1/settings", {"appointment_may_lift_dnc": True}, role="enterprise").json["held"]
    assert fresh.call("POST", "/v1/decisions", ask).json["reasons"] == ["do_not_contact"]
    fresh.call("POST", f"/v1/runs/{held['run']}/approve", role="operator")
    assert fresh.call("POST", "/v1/decisions", ask).json["reasons"] == ["do_not_contact_lifted"]


def test_the_toggle_cannot_be_switched_on_while_the_enterprise_syncs(fresh: Service) -> None:
    reply = fresh.call("PUT", "/v1/settings", {"do_not_contact_toggle": True}, role="enterprise")
    assert (reply.status, reply.json["code"]) == (409, "setting_refused")
    settings = fresh.call("GET", "/v1/settings", role="enterprise").json
    assert (settings["do_not_contact_toggle"], settings["do_not_contact_toggle_offered"]) == (False, False)


@pytest.mark.parametrize("body", [{"when_stale": "never"}, {"do_not_contact_toggle": "yes"}, {"sync_contact_preferences": False}, 5])
def test_a_bad_setting_is_refused(service: Service, body: Any) -> None:
    assert service.call("PUT", "/v1/settings", body, role="enterprise", enterprise="local").status == 422


def test_the_feed_resumes_at_its_position(fresh: Service) -> None:
    first = fresh.call("GET", "/v1/changes?limit=1").json
    rest = fresh.call("GET", f"/v1/changes?after={first['next']}").json
    assert len(first["changes"]) == 1
    assert [one["seq"] for one in rest["changes"]] == sorted(one["seq"] for one in rest["changes"])
    assert {one["patient"] for one in first["changes"] + rest["changes"]} == {fresh.patient(value)["id"] for value in ("MRN1", "MRN2")}
    end = rest | {"changes": []}
    assert fresh.call("GET", f"/v1/changes?after={rest['next']}&epoch={rest['epoch']}").json == end


def test_a_reader_beyond_the_end_of_the_feed_starts_over(fresh: Service) -> None:
    """After a restore, continuing would skip every change until the numbers have caught up."""
    page = fresh.call("GET", "/v1/changes").json
    assert fresh.call("GET", f"/v1/changes?after={page['next']}").status == 200
    reply = fresh.call("GET", f"/v1/changes?after={page['next'] + 1}&wait=30")
    assert (reply.status, reply.json["code"], reply.headers["content-type"]) == (410, "feed_restarted", "application/problem+json")
    assert "after=0" in reply.json["detail"]
    assert fresh.call("GET", "/v1/changes?after=0&epoch=whatever").status == 200


def test_a_reader_whose_last_change_was_replaced_starts_over(fresh: Service) -> None:
    """After a restore that lost changes, followed by as many new ones."""
    page = fresh.call("GET", "/v1/changes?limit=1").json
    where = f"/v1/changes?after={page['next']}&epoch={page['epoch']}"
    assert fresh.call("GET", where).status == 200
    with fresh.store.database.write("general") as transaction:
        fresh.store.database.update(transaction, ChangeRow, ("seq",), ("at",), [(EARLIER, page["next"])])
    assert fresh.call("GET", where).status == 410
    assert fresh.call("GET", where.partition("&")[0]).status == 200


def test_each_page_has_its_own_epoch(fresh: Service) -> None:
    whole, first = fresh.call("GET", "/v1/changes").json, fresh.call("GET", "/v1/changes?limit=1").json
    assert whole["epoch"] != first["epoch"]
    assert fresh.call("GET", f"/v1/changes?after={first['next']}&epoch={whole['epoch']}").status == 410


def test_the_feed_waits_for_the_next_change(fresh: Service) -> None:
    last = fresh.call("GET", "/v1/changes").json["next"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(fresh.call, "GET", f"/v1/changes?after={last}&wait=20")
        fresh.call("POST", "/v1/sms-replies", {"line": LINE, "from": CELL, "body": "STOP"})
        assert {one["patient"] for one in waiting.result(20).json["changes"]} <= {fresh.patient(one)["id"] for one in ("MRN1", "MRN2")}
        assert waiting.result().json["changes"]


def test_the_feed_shows_nothing_of_another_enterprise(fresh: Service) -> None:
    local = {one["patient"] for one in fresh.call("GET", "/v1/changes", enterprise="local").json["changes"]}
    assert not local & {one["patient"] for one in fresh.call("GET", "/v1/changes").json["changes"]}


@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=10001", "wait=31", "wait=1.5", "after=99999999999999999999"])
def test_a_bad_query_is_refused(service: Service, query: str) -> None:
    reply = service.call("GET", f"/v1/changes?{query}")
    assert (reply.status, reply.json["code"]) == (422, "invalid_request")


def test_sources_show_when_they_were_last_received(service: Service) -> None:
    (source,) = service.call("GET", "/v1/sources", role="operator").json
    assert (source["name"], source["display_name"], source["stale"]) == ("genhosp-adt", "General Hospital EMR", False)
    assert source["last_heard"]


def test_a_resync_starts_a_run_that_can_be_followed(fresh: Service) -> None:
    reply = fresh.call("POST", "/v1/sources/genhosp-adt/resync", role="operator")
    assert (reply.status, reply.json["status"]) == (202, "running")
    assert fresh.requested == [("resync", "genhosp-adt", "operator of general")]
    run = reply.json["run"]
    assert fresh.call("GET", f"/v1/runs/{run}", role="operator").json["source"] == "genhosp-adt"
    assert [one["run"] for one in fresh.call("GET", "/v1/runs?source=genhosp-adt", role="operator").json] == [run]
    assert fresh.call("GET", f"/v1/runs/{run}", role="operator", enterprise="local").status == 404
    assert fresh.call("GET", "/v1/runs", role="operator", enterprise="local").json == []


def test_a_second_run_of_a_source_is_refused(fresh: Service) -> None:
    reply = fresh.call("POST", "/v1/sources/clinic/resync", role="operator", enterprise="local")
    assert (reply.status, reply.json["code"]) == (409, "run_active")


def test_a_source_of_another_enterprise_is_not_found(fresh: Service) -> None:
    reply = fresh.call("POST", "/v1/sources/clinic/resync", role="operator")
    assert (reply.status, reply.json["code"], fresh.requested) == (404, "source_unknown", [])


def test_rejections_are_listed_without_their_payload_and_replayed(fresh: Service) -> None:
    number = reject(fresh, "general", b"MSH|^~\\&|SECRET")
    reply = fresh.call("GET", "/v1/rejections", role="operator")
    assert [(one["id"], one["reason"]) for one in reply.json] == [(number, "code_unmapped")]
    assert b"SECRET" not in reply.body
    assert fresh.call("GET", "/v1/rejections?status=resolved", role="operator").json == []
    assert fresh.call("POST", f"/v1/rejections/{number}/replay", role="operator").json["outcome"] == "applied"
    assert fresh.call("POST", f"/v1/rejections/{number}/replay", role="operator", enterprise="local").status == 404
    assert fresh.call("GET", "/v1/rejections", role="operator", enterprise="local").json == []


def test_the_service_has_liveness_readiness_and_metrics(service: Service) -> None:
    assert service.call("GET", "/healthz", role=None).status == 200
    ready = service.call("GET", "/readyz", role="operator")
    assert (ready.status, ready.json["ready"], ready.json["degraded"]) == (200, True, False)
    metrics = service.call("GET", "/metrics", role=None)
    assert (metrics.body, metrics.headers["content-type"]) == (b"emr_sync_up 1\n", "text/plain; version=0.0.4; charset=utf-8")


def test_a_removed_source_is_reported(fresh: Service) -> None:
    with fresh.store.database.write("general") as transaction:
        fresh.journal.mark_received(transaction, "retired", "general", now=NOW)
    fresh.store.freshness.last.changed()
    ready = fresh.call("GET", "/readyz", role="operator").json
    assert (ready["ready"], ready["degraded"]) == (True, True)
    assert [one["source"] for one in ready["sources"] if one["state"] == "orphan"] == ["retired"]


def test_without_a_valid_key_readiness_shows_only_the_status(fresh: Service) -> None:
    for headers in ({}, {"authorization": "Bearer esk.key_0.guess"}, {"authorization": "Basic x"}):
        ready = fresh.call("GET", "/readyz", role=None, **headers)
        assert (ready.status, ready.json) == (200, {"ready": True})


def test_a_key_shows_only_its_own_enterprise(fresh: Service) -> None:
    with fresh.store.database.write("general") as transaction:
        fresh.journal.mark_received(transaction, "retired", "general", now=NOW)
    fresh.store.freshness.last.changed()
    ready = fresh.call("GET", "/readyz", enterprise="local").json
    assert ({one["enterprise"] for one in ready["sources"]}, ready["degraded"]) == ({"local"}, False)


def test_readiness_is_checked_once_a_second(sqlite_url: str) -> None:
    database, ticks = Database.open(sqlite_url), [0.0]
    health = Health(Preferences(database, ENTERPRISES), None, lambda: NOW, lambda: ticks[0])
    first = health.kept.get(None)
    for ticks[0] in (0.0, 0.9):
        assert health.kept.get(None) is first
    ticks[0] = 1.0
    assert health.kept.get(None) is not first
    database.close()


def test_patients_whose_newer_evidence_cannot_be_read_are_counted_and_named(fresh: Service) -> None:
    before = fresh.patient("MRN1")
    source = before["synced"][0]["source"]
    item = replace(
        statements("MRN1", "M9", language="es"),
        effective=times.at(NOW),
        problems=(Problem("code_unmapped", "ZCP-2", "", "do_not_contact"),),
    )
    with fresh.store.database.write("general") as transaction:
        fresh.store.apply_many(transaction, "general", source, [item], now=NOW)
    (mark,) = fresh.patient("MRN1")["unreadable"]
    assert (mark["attribute"], mark["source"], mark["reason"]) == ("do_not_contact", source, "code_unmapped")
    ready = fresh.call("GET", "/readyz", role="operator").json
    assert (ready["degraded"], [one["unreadable"] for one in ready["sources"] if one["source"] == source]) == (True, [1])
    ask = {"patient": {"value": "MRN1"}, "message_type": "automation", "channels": ["sms"]}
    assert fresh.call("POST", "/v1/decisions", ask).json["reasons"] == ["preference_unreadable"]
    assert codes(fresh.call("POST", "/v1/decisions/batch", [ask]).json) == [["preference_unreadable"]]


def test_a_lost_database_is_not_ready(fresh: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise OSError("connection to db.internal as admin failed")

    monkeypatch.setattr("store.web.api.health.schema.check", fail)
    for role in (None, "operator"):
        ready = fresh.call("GET", "/readyz", role=role)
        assert (ready.status, ready.json["ready"], ready.json.get("database", "unreachable")) == (503, False, "unreachable")
        assert b"db.internal" not in ready.body


def test_a_slow_database_is_not_ready_and_queried_once(fresh: Service) -> None:
    requested, answers = threading.Semaphore(0), threading.Event()

    class Slow(Health):
        def readiness(self) -> Readiness:
            requested.release()
            answers.wait()
            return super().readiness()

    async def check_twice() -> tuple[list[Readiness], Readiness]:
        health = Slow(fresh.store, None, lambda: NOW)
        late = [await health.in_time(seconds=0.01) for _ in range(3)]
        answers.set()
        return late, await health.in_time()

    late, later = asyncio.run(check_twice())
    assert [(one.ready, one.database) for one in late] == [(False, "unreachable")] * 3
    assert (later.ready, requested.acquire(blocking=False), requested.acquire(blocking=False)) == (True, True, False)


def test_readiness_is_correct_when_the_next_check_starts_before_the_last_ends(fresh: Service) -> None:
    async def check_twice() -> tuple[Readiness, Readiness]:
        health = Health(fresh.store, None, lambda: NOW)
        others: list[asyncio.Task[Readiness]] = []

        async def run(found: Callable[[], Readiness]) -> Readiness:
            if not others:
                others.append(asyncio.create_task(health.in_time(run)))
                return found()
            return await asyncio.to_thread(found)

        return await health.in_time(run), await others[0]

    assert [one.ready for one in asyncio.run(check_twice())] == [True, True]


def test_readiness_does_not_wait_for_a_key_check(fresh: Service) -> None:
    go_on = threading.Event()
    for _ in range(2):
        fresh.lanes.keys.later(go_on.wait, 60)
    try:
        assert fresh.call("GET", "/readyz", role="auditor").json == {"ready": True}
    finally:
        go_on.set()
    assert "sources" in fresh.call("GET", "/readyz", role="auditor").json


def test_the_openapi_document_has_every_path(service: Service) -> None:
    document = service.call("GET", "/schema", role=None).json
    operations = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    open_to_all = {(method.upper(), path) for path, methods in OPEN_PATHS.items() for method in methods}
    assert operations == {(method, path.replace(":str}", "}")) for method, path in CALLS} | open_to_all
    assert document["openapi"] == "3.1.0"
    text = json.dumps(document)
    for name in document["components"]["schemas"]:
        assert f'"#/components/schemas/{name}"' in text or name in ("InvalidAsk", "Readiness")


def test_concurrent_senders_each_get_their_own_response(service: Service) -> None:
    def answers(value: str) -> set[tuple[str, ...]]:
        client = SenderClient(f"http://127.0.0.1:{service.port}", service.token("general", "sender"))
        found = {client.decide(Ask(Who(value), "automation", ["sms"], line=LINE)).reasons for _ in range(40)}
        client.close()
        return found

    service.token("general", "sender")
    with ThreadPoolExecutor(8) as pool:
        values = ["MRN1", "MRN2", "nobody"] * 4
        assert list(pool.map(answers, values)) == [{()}, {("do_not_contact",)}, {("patient_unknown",)}] * 4
