"""Every view and every change is in the audit log; decisions leave receipts if configured; as-of queries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from store import times
from store.audit.retention import ChainRetention
from store.audit.verify import verify
from store.domain.lock import Actor
from store.domain.patient import PatientRef
from store.domain.policies import Policy
from store.holds.retire_source import Release
from store.preference import Identifier, PatientMerge
from store.web.api.decisions import NDJSON
from tests.store.web import conftest as web
from tests.store.web.conftest import CELL, EARLIER, ENTERPRISES, LINE, NOW, Service

ASK = {"patient": {"value": "MRN1"}, "message_type": "broadcast", "channels": ["sms"], "line": LINE}
NOBODY = {**ASK, "patient": {"value": "MRN9"}}


@pytest.fixture
def keeping(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A service whose enterprise keeps receipts."""
    keeps = replace(ENTERPRISES["general"], policy=Policy(decision_receipts=True))
    monkeypatch.setattr(web, "ENTERPRISES", {**ENTERPRISES, "general": keeps})
    yield from web.serve(database_url)


def log(service: Service, enterprise: str = "general") -> list[tuple[str, str]]:
    """Actors and actions, oldest first, without the keys that the test itself created."""
    lines = service.call("GET", "/v1/audit", role="auditor", enterprise=enterprise).json
    return [(line["actor"], line["action"]) for line in reversed(lines) if line["action"] != "created_key"]


def test_every_patient_view_is_in_the_audit_log(fresh: Service) -> None:
    number = fresh.patient()["id"]
    fresh.call("GET", f"/v1/patients/{number}", role="manager")
    fresh.call("GET", f"/v1/patients/{number}/history", role="auditor")
    fresh.call("GET", f"/v1/patients/{number}/as-of?at={NOW.isoformat().replace('+', '%2B')}", role="staff")
    fresh.call("GET", f"/v1/patients/{number}/receipts", role="auditor")
    assert log(fresh) == [
        ("staff:staff of general", "viewed_patient"),
        ("manager:manager of general", "viewed_patient"),
        ("auditor:auditor of general", "viewed_history"),
        ("staff:staff of general", "viewed_as_of"),
        ("auditor:auditor of general", "viewed_receipts"),
    ]
    about = fresh.call("GET", f"/v1/audit?patient={number}", role="auditor").json
    assert {line["subject"] for line in about} == {number}
    assert len(about) == 5


def test_a_search_without_result_is_not_a_patient_view(fresh: Service) -> None:
    assert fresh.call("POST", "/v1/patients/lookup", {"value": "MRN9"}, role="staff").status == 404
    assert fresh.call("GET", "/v1/patients/pt_0000000000000001", role="staff").status == 404
    assert fresh.call("GET", "/v1/patients/pt_0000000000000001/history", role="auditor").status == 404
    in_vain = ["staff:staff of general", "staff:staff of general", "auditor:auditor of general"]
    assert log(fresh) == [(who, "looked_in_vain") for who in in_vain]
    lines = fresh.call("GET", "/v1/audit", role="auditor").json
    assert {json.dumps(one["detail"]) for one in lines if one["action"] == "looked_in_vain"} == {'{"why": "unknown"}'}


def test_a_not_modified_response_leaves_no_audit_line(fresh: Service) -> None:
    patient = fresh.patient()
    assert fresh.call("GET", f"/v1/patients/{patient['id']}", role="staff", if_none_match=f'"{patient["version"]}"').status == 304
    assert len(log(fresh)) == 1


def test_every_change_by_a_person_is_in_the_audit_log_with_its_details(fresh: Service) -> None:
    number = fresh.patient(enterprise="local")["id"]
    path = f"/v1/patients/{number}"
    local: dict[str, Any] = {"enterprise": "local", "role": "enterprise"}
    assert fresh.call("PUT", f"{path}/do-not-contact", {"value": "yes", "reason": "asked"}, **local).status == 200
    assert fresh.call("PUT", f"{path}/preferred-phone", {"value": CELL}, **local).status == 200
    assert fresh.call("POST", f"{path}/sms-consent", {"line": LINE, "topic": "billing"}, **local).status == 200
    assert fresh.call("PUT", "/v1/settings", {"when_stale": "refuse"}, **local).status == 200
    reply = {"line": LINE, "from": CELL, "body": "STOP"}
    assert fresh.call("POST", "/v1/sms-replies", reply, enterprise="local").json["recognised"] == "opt_out"
    person = "enterprise:enterprise of local"
    assert log(fresh, "local")[1:] == [
        (person, "set_do_not_contact"),
        (person, "set_preferred_phone"),
        (person, "recorded_sms_opt_out"),
        (person, "changed_settings"),
        ("patient", "sms_reply"),
    ]
    lines = fresh.call("GET", "/v1/audit", role="auditor", enterprise="local").json
    details = {line["action"]: line["detail"] for line in lines}
    assert details["set_do_not_contact"] == {"version": 2, "value": "yes", "reason": "asked"}
    assert details["recorded_sms_opt_out"] == {"line": LINE, "topic": "billing", "reason": "", "numbers": 2}
    assert details["changed_settings"] == {"changes": {"when_stale": "refuse"}}
    assert CELL not in json.dumps(lines), "numbers are not repeated in the log"


def test_a_refused_change_is_not_logged_as_a_change(fresh: Service) -> None:
    number = fresh.patient()["id"]
    assert fresh.call("PUT", f"/v1/patients/{number}/do-not-contact", {"value": "yes"}, role="enterprise").status == 423
    assert len(log(fresh)) == 1


def test_the_audit_log_of_one_enterprise_shows_nothing_of_another(fresh: Service) -> None:
    number = fresh.patient(enterprise="local")["id"]
    assert log(fresh) == []
    assert fresh.call("GET", f"/v1/audit?patient={number}", role="auditor").json == []
    assert fresh.call("GET", f"/v1/patients/{number}/receipts", role="auditor").status == 404
    assert log(fresh) == [("auditor:auditor of general", "looked_in_vain")]


def test_without_the_setting_decisions_leave_no_receipt(fresh: Service) -> None:
    fresh.call("POST", "/v1/decisions", ASK)
    assert fresh.call("GET", f"/v1/patients/{fresh.patient()['id']}/receipts", role="auditor").json == []
    assert {one.head.chain for one in verify(fresh.store.database)} == {"audit"}


def test_a_receipt_has_the_caller_the_request_and_the_decision(keeping: Service) -> None:
    decision = keeping.call("POST", "/v1/decisions", ASK).json
    (receipt,) = keeping.call("GET", f"/v1/patients/{keeping.patient()['id']}/receipts", role="auditor").json
    assert (receipt["actor"], receipt["action"]) == ("sender:sender of general", "decided")
    assert receipt["detail"] == {"ask": {name: ASK[name] for name in ("message_type", "channels", "line")}, "decision": decision}


def test_every_decision_of_every_kind_of_batch_has_a_receipt(keeping: Service) -> None:
    array = keeping.call("POST", "/v1/decisions/batch", [ASK, NOBODY, "?", ASK])
    lines = b"".join(json.dumps(one).encode() + b"\n" for one in [ASK] * 300 + [NOBODY])
    stream = keeping.call("POST", "/v1/decisions/batch", lines, content_type=NDJSON)
    assert (array.status, stream.status) == (200, 200)
    assert len(stream.body.splitlines()) == 301
    receipts = keeping.call("GET", f"/v1/patients/{keeping.patient()['id']}/receipts?limit=1000", role="auditor").json
    assert len(receipts) == 302
    chains = {one.head.chain: one for one in verify(keeping.store.database)}
    assert (chains["receipts"].head.number, chains["receipts"].broken_at) == (304, None), "an unknown patient has a receipt, too"


def test_a_stored_decision_is_found_by_its_id(keeping: Service) -> None:
    answers = [keeping.call("POST", "/v1/decisions", ASK).json, *keeping.call("POST", "/v1/decisions/batch", [ASK, NOBODY, ASK]).json]
    assert len({one["id"] for one in answers}) == 4
    for one, role in zip(answers, ("staff", "manager", "enterprise", "auditor"), strict=True):
        found = keeping.call("GET", f"/v1/decisions/{one['id']}", role=role)
        assert (found.status, found.json["action"], found.json["detail"]["decision"]) == (200, "decided", one)
        entry = next(line for line in keeping.call("GET", "/v1/audit", role="auditor").json if line["action"] != "created_key")
        assert (entry["action"], entry["subject"], entry["detail"]) == ("viewed_receipts", found.json["subject"], {"decision": one["id"]})


def test_a_decision_that_is_not_stored_is_not_found_and_the_search_is_logged(fresh: Service) -> None:
    answer = fresh.call("POST", "/v1/decisions", ASK).json
    assert answer["id"].startswith("dec_")
    for wanted in (answer["id"], "dec_0", "MRN1", "dec_" + "f" * 27, "%00", "dec_" + "f" * 5000):
        found = fresh.call("GET", f"/v1/decisions/{wanted}", role="staff")
        assert found.status in (404, 422), wanted
        assert b"MRN1" not in found.body
    assert log(fresh)[0] == ("staff:staff of general", "looked_in_vain")


def test_a_decision_survives_retention_only_as_long_as_its_receipt(keeping: Service) -> None:
    number = keeping.call("POST", "/v1/decisions", ASK).json["id"]
    assert ChainRetention(keeping.store.database, "receipts").run(datetime.now(UTC) + timedelta(days=1), NOW) == 1
    assert keeping.call("GET", f"/v1/decisions/{number}", role="auditor").status == 404


def test_an_invalid_item_of_a_batch_has_no_id_and_no_receipt(keeping: Service) -> None:
    (found,) = keeping.call("POST", "/v1/decisions/batch", ["?"]).json
    assert (found["reasons"], found["id"]) == (["ask_invalid"], "")


def test_a_receipt_for_an_unknown_patient_stores_no_identifier(keeping: Service) -> None:
    keeping.call("POST", "/v1/decisions", NOBODY)
    with keeping.store.database.read() as connection:
        rows = keeping.store.database.select(connection, "SELECT subject, detail FROM chain_links WHERE chain = 'receipts'", [])
    assert [row[0] for row in rows] == [""]
    assert "MRN9" not in rows[0][1]


def test_no_decision_is_sent_if_its_receipt_cannot_be_written(keeping: Service) -> None:
    keeping.token("general", "sender")
    with keeping.store.database.write("test") as transaction:
        transaction.exec_driver_sql("DROP TABLE chain_heads")
    assert keeping.call("POST", "/v1/decisions", ASK).status == (500 if keeping.store.database.is_sqlite else 503)


@pytest.mark.parametrize("table", ["audit", "receipts"])
def test_tampering_with_one_row_is_detected(keeping: Service, table: str) -> None:
    for _ in range(3):
        keeping.call("POST", "/v1/decisions", ASK)
        keeping.patient()
    with keeping.store.database.write("test") as transaction:
        transaction.exec_driver_sql(f"UPDATE chain_links SET detail = '{{}}' WHERE chain = '{table}' AND number = 2")
    assert {one.head.chain: one.broken_at for one in verify(keeping.store.database)} == {"audit": None, "receipts": None} | {table: 2}


def test_an_as_of_query_names_the_messages(fresh: Service) -> None:
    number = fresh.patient()["id"]
    later = NOW + timedelta(minutes=5)
    with fresh.store.database.write("general") as transaction:
        item = replace(web.statements("MRN1", "M9", do_not_contact="yes"), effective=times.at(EARLIER + timedelta(minutes=1)))
        fresh.store.apply_many(transaction, "general", "genhosp-adt", [item], now=later)
    path = f"/v1/patients/{number}/as-of?at="
    earlier = fresh.call("GET", f"{path}{NOW:%Y-%m-%dT%H:%M:%S.%fZ}", role="auditor").json
    now = fresh.call("GET", f"{path}{later:%Y-%m-%dT%H:%M:%S.%fZ}", role="auditor").json
    assert (earlier["version"], now["version"]) == (1, 2)
    assert [one["preferences"]["do_not_contact"]["value"] for one in (earlier, now)] == ["no", "yes"]
    assert [one["preferences"]["do_not_contact"]["evidence"]["id"] for one in (earlier, now)] == ["M1", "M9"]
    assert earlier["preferences"]["phones"]["value"][0]["number"] == CELL
    assert earlier["sms_consent"] == "Opted In"
    assert fresh.call("GET", f"{path}2001-01-01T00:00:00Z", role="auditor").status == 404


def test_an_as_of_query_covers_a_merge_a_reply_a_retired_source_and_an_unmerge(fresh: Service) -> None:
    store, actor, moments = fresh.store, Actor("cli", "kim"), [NOW]
    ids = {patient: fresh.patient(patient)["id"] for patient in ("MRN1", "MRN2")}

    def next_moment() -> datetime:
        moments.append(NOW + timedelta(minutes=len(moments)))
        return moments[-1]

    joined = PatientMerge((Identifier("GENHOSP", "MR", "MRN1"),), (Identifier("GENHOSP", "MR", "MRN2"),), times.at(EARLIER), "A40")
    with store.database.write("general") as transaction:
        store.apply_many(transaction, "general", "genhosp-adt", [joined], now=next_moment())
    store.record_reply("general", LINE, CELL, "STOP", moments[-1], next_moment())
    Release(store, fresh.journal).release("genhosp-adt", actor, next_moment())
    store.unmerge("general", PatientRef(id=ids["MRN2"]), actor=actor, reason="two people", now=next_moment())

    def known(patient: str) -> list[tuple[str, str, str, str]]:
        requested = [f"/v1/patients/{ids[patient]}/as-of?at={one:%Y-%m-%dT%H:%M:%S.%fZ}" for one in moments]
        found = [fresh.call("GET", path, role="auditor").json for path in requested]
        values = [(one["preferences"]["do_not_contact"], one["sms_consent"]) for one in found]
        return [(dnc["value"], dnc["authority"], dnc["evidence"]["id"], sms) for dnc, sms in values]

    emr, stopped = "emr:genhosp-adt", "Opted Out of 1 number"
    both = [("yes", emr, "M2", "Opted In"), ("yes", emr, "M2", stopped), ("yes", "staff", "M2", stopped)]
    assert known("MRN1") == [("no", emr, "M1", "Opted In"), *both, ("no", "staff", "M1", stopped)]
    assert known("MRN2") == [("yes", emr, "M2", "Opted In"), *both, ("yes", "staff", "M2", stopped)]


@pytest.mark.parametrize("at", ["", "?at=", "?at=yesterday", "?at=2026-11-02", "?at=2026-11-02T10:42:00"])
def test_an_as_of_time_must_be_complete(fresh: Service, at: str) -> None:
    reply = fresh.call("GET", f"/v1/patients/{fresh.patient()['id']}/as-of{at}", role="auditor")
    assert (reply.status, reply.json["code"]) == (422, "invalid_request")
