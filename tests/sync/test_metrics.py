"""What a scrape shows: decisions, what waits and for how long, what expires; of every process, and of the process itself."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from adapters.address import Address
from adapters.hl7v2.client import MllpClient
from adapters.rehearsal import certificate
from store.patients.replies import APPOINTMENT, KeptText
from store.runs.runs import Rejected
from store.users.api_keys import ApiKeys
from store.web.http.decision_counts import BOUNDS, DecisionCounts
from sync import expiry
from sync.config.loading import load
from sync.config.problems import UsageError
from sync.measured import Measured
from sync.measuring import measured
from sync.metrics import Metrics
from sync.queue import Job, LocalQueue
from sync.runtime import Runtime
from sync.service import Service
from tests.functional.program import free_port, hospital, written

ENTERPRISE, SOURCE, MRN = "general-hospital", "genhosp-adt", "MRN70001"
MESSAGE = (
    "MSH|^~\\&|ADT|GENHOSP|X|X|20261101083000-0600||ADT^A08^ADT_A01|C1|P|2.5.1\rEVN|A08|20261101083000-0600\r"
    f"PID|1||{MRN}^^^GENHOSP^MR||Metric^Mary||19800101||||||^PRN^CP^^1^217^5550123\rZCP|1|OK\r"
).encode()


def runtime_of(folder: Path, database_url: str, port: int = 0, **changes: Any) -> Runtime:
    configuration = hospital(database_url, port)
    return Runtime.open(load(written(folder, configuration | changes), {}))


@pytest.fixture
def runtime(tmp_path: Path, database_url: str) -> Iterator[Runtime]:
    found = runtime_of(tmp_path, database_url, free_port())
    yield found
    found.close()


def samples(text: str) -> dict[tuple[str, str], float]:
    """(name, label values joined) -> value."""
    return {
        (one.name, ",".join(value for _, value in sorted(one.labels.items()))): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def asked(address: Address, path: str, body: Any = None, key: str = "") -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with closing(HTTPConnection(*address, timeout=30)) as connection:
        connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def deliver(service: Service) -> None:
    """An EMR sends a message about one patient, who may be contacted."""
    listener: Any = service.listeners[0].listener
    assert listener.bound.wait(30)
    with MllpClient(*listener.address) as emr:
        assert b"MSA|AA|C1" in emr.send(MESSAGE)


def test_decisions_are_counted_by_outcome_and_their_answers_by_time(runtime: Runtime) -> None:
    service = Service(runtime, ["api", "listen"])
    key = runtime.keys.create("texts", ENTERPRISE, "sender", runtime.clock())[1]
    ask = {"patient": {"authority": "GENHOSP", "value": MRN}, "message_type": "automation", "channels": ["sms"]}
    unknown = ask | {"patient": {"authority": "GENHOSP", "value": "NOBODY"}}
    service.start()
    try:
        assert service.address is not None
        deliver(service)
        answers = [asked(service.address, "/v1/decisions", one, key)[0] for one in (ask, unknown, {"patient": 1})]
        assert answers == [200, 200, 422]
        assert asked(service.address, "/v1/decisions", ask, "esk.nobody.x")[0] == 401
        assert asked(service.address, "/v1/decisions/batch", [ask, ask, unknown, {"patient": 1}], key)[0] == 200
        status, text = asked(service.address, "/metrics")
    finally:
        service.stop()
    found = samples(text)
    decided = {labels: value for (name, labels), value in found.items() if name == "emr_sync_decisions_total"}
    assert (status, decided) == (200, {"send,": 3.0, "do_not_send,patient_unknown": 2.0, "do_not_send,ask_invalid": 1.0})
    counts = {labels: value for (name, labels), value in found.items() if name == "emr_sync_decision_seconds_count"}
    assert counts == {"200": 2.0, "422": 1.0, "401": 1.0}
    assert found["emr_sync_decision_seconds_bucket", "+Inf,200"] == 2.0
    assert 0 < found["emr_sync_decision_seconds_sum", "200"] < 60
    assert "_created" not in text
    assert not [one for one in (MRN, "Mary", "5550123", "NOBODY", "C1") if one in text]


def test_an_answer_is_in_the_bucket_of_its_time_and_all_above() -> None:
    counts = DecisionCounts()
    for seconds in (BOUNDS[0], BOUNDS[0] * 1.01, BOUNDS[-1] + 1):
        counts.answered(200, seconds)
    text = Metrics().text(Measured(latencies=counts.latencies())).decode()
    buckets = [value for (name, _), value in samples(text).items() if name == "emr_sync_decision_seconds_bucket"]
    assert buckets == [1.0, *[2.0] * (len(BOUNDS) - 1), 3.0]


def test_what_waits_for_a_person_is_counted_by_source_or_enterprise(runtime: Runtime) -> None:
    now = runtime.clock().replace(microsecond=0)
    assert not [name for name, _ in samples(runtime.metrics.text(measured(runtime)).decode()) if "reject" in name and "open" in name]
    for number, age in enumerate((timedelta(hours=30), timedelta(hours=2))):
        with runtime.database.write(ENTERPRISE) as transaction:
            rows = [Rejected("not_hl7", "no MSH", "", "test:1", b"payload %d" % number)]
            runtime.journal.reject(transaction, rows, source=SOURCE, enterprise=ENTERPRISE, run_id=None, now=now - age)
    with runtime.database.write(ENTERPRISE) as transaction:
        unclear = KeptText("+12175550111", "+12175550190", "line", "hm", now)
        appointment = unclear._replace(number="+12175550112", body="cancel", state=APPOINTMENT)
        runtime.preferences.replies.add(transaction, ENTERPRISE, [unclear, appointment], now)
    found = samples(runtime.metrics.text(measured(runtime)).decode())
    assert found["emr_sync_open_rejections", SOURCE] == 2.0
    assert found["emr_sync_oldest_rejection_timestamp_seconds", SOURCE] == (now - timedelta(hours=30)).timestamp()
    assert found["emr_sync_replies_to_review", ENTERPRISE] == 2.0
    oldest = runtime.journal.rejections(source=SOURCE)[-1]
    with runtime.database.write(ENTERPRISE) as transaction:
        runtime.journal.resolve(transaction, oldest.id)
    found = samples(runtime.metrics.text(measured(runtime)).decode())
    assert found["emr_sync_oldest_rejection_timestamp_seconds", SOURCE] == (now - timedelta(hours=2)).timestamp()


def test_the_oldest_waiting_job_is_shown(runtime: Runtime) -> None:
    service = Service(runtime, ["schedule"])  # it has the role that queues; jobs wait where nobody works
    queue = service.queue
    if isinstance(queue, LocalQueue):
        queue._waiting[Job(SOURCE)] = -100.0  # its threads would take the job at once
    else:
        queue.put(Job(SOURCE))
        with runtime.database.write("test") as transaction:
            runtime.database.select(transaction, "UPDATE procrastinate_events SET at = at - interval '100 s' RETURNING id", [])
    found = samples(runtime.metrics.text(measured(runtime, queue)).decode())
    assert (found["emr_sync_queue_jobs", "waiting"], found["emr_sync_queue_oldest_seconds", ""] > 99) == (1.0, True)
    assert Service(runtime, ["schedule"]).queue.oldest() > 99 or isinstance(queue, LocalQueue), "any process sees the shared queue"


def test_certificates_and_keys_that_expire_are_shown(tmp_path: Path, database_url: str) -> None:
    made = certificate.create()
    for name, text in (("api.pem", made.certificate), ("api.key", made.key)):
        (tmp_path / name).write_text(text)
    tls = {"certificate": "file:api.pem", "key": "file:api.key"}
    changes = hospital(database_url, free_port(), tls={**tls, "client_ca": "file:api.pem"})
    runtime = Runtime.open(load(written(tmp_path, changes | {"api": {"listen": "127.0.0.1:0", "tls": tls}}), {}))
    now = runtime.clock()
    names = {}
    for name, days in (("soon", 3), ("expired", -1), ("long expired", -30), ("revoked", 3), ("unlimited", None)):
        expires = None if days is None else now + timedelta(days=days)
        names[name] = runtime.keys.create(name, ENTERPRISE, "sender", now - timedelta(days=60), expires=expires)[0]
    ApiKeys(runtime.database).revoke(names["revoked"], now)
    found = samples(runtime.metrics.text(measured(runtime)).decode())
    runtime.close()
    keys = {key for name, key in found if name == "emr_sync_key_expires_timestamp_seconds"}
    assert keys == {names["soon"], names["expired"]}
    settings = {key for name, key in found if name == "emr_sync_certificate_expires_timestamp_seconds"}
    assert settings == {"api.tls.certificate", f"sources.{SOURCE}.tls.certificate", f"sources.{SOURCE}.tls.client_ca"}
    until = found["emr_sync_certificate_expires_timestamp_seconds", "api.tls.certificate"] - now.timestamp()
    assert 0 < until <= timedelta(days=1).total_seconds()


@pytest.mark.parametrize("text", ["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "/no/such/file", "-----BEGIN", ""])
def test_a_certificate_that_cannot_be_read_is_left_out(text: str) -> None:
    assert expiry.expires(text) is None


def test_a_process_without_the_api_serves_its_own_metrics(runtime: Runtime) -> None:
    service = Service(runtime, ["listen"], metrics_at=Address("127.0.0.1", 0))
    service.start()
    try:
        assert service.monitoring is not None
        deliver(service)
        address = service.monitoring.address
        assert samples(asked(address, "/metrics")[1])["emr_sync_records_total", f"applied,{SOURCE}"] == 1.0
        assert asked(address, "/healthz") == (200, '{"alive":true}')
        assert asked(address, "/readyz") == (200, '{"ready":true}')
        key = runtime.keys.create("operator", ENTERPRISE, "operator", runtime.clock())[1]
        assert [one["source"] for one in json.loads(asked(address, "/readyz", key=key)[1])["sources"]] == [SOURCE]
        assert asked(address, "/v1/decisions", {}, key)[0] == 404
    finally:
        service.stop()


def test_the_address_for_metrics_is_protected_as_the_api_is(tmp_path: Path, sqlite_url: str) -> None:
    runtime = runtime_of(tmp_path, sqlite_url, free_port())
    with pytest.raises(UsageError, match="--metrics: metrics and keys would leave this machine unencrypted"):
        Service(runtime, ["api"], metrics_at=Address("0.0.0.0", 0)).start()
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UsageError, match="--metrics: cannot use"):
        Service(runtime, ["api"], metrics_at=Address(*taken.getsockname())).start()
    runtime.close()
