"""Each alert rule fires on the metrics of a service that is in that state: they are scraped from it, not written by hand."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from adapters.base import Payload
from adapters.rehearsal import certificate
from store.runs.intake_state import IntakeState
from store.runs.processes import Place, Processes
from sync.config.loading import load
from sync.measuring import measured
from sync.queue import Job, LocalQueue
from sync.runtime import Runtime, adapter, lane
from sync.service import Service
from tests.functional.program import free_port, hospital, written

ENTERPRISE, SOURCE = "general-hospital", "genhosp-adt"
RULES = Path(__file__).parents[2] / "deploy" / "monitoring" / "alerts.yaml"
TIMESTAMP = "_timestamp_seconds"
LINE = (
    "MSH|^~\\&|ADT|GENHOSP|X|X|202611010{at}00-0600||ADT^A08^ADT_A01|C{at}{mrn}|P|2.5.1\rEVN|A08|202611010{at}00-0600\r"
    "PID|1||{mrn}^^^GENHOSP^MR||Rule^Ray\rZCP|1|{code}\r"
)


@pytest.fixture
def runtime(tmp_path: Path, database_url: str) -> Iterator[Runtime]:
    made = certificate.create()  # it expires within a day
    for name, text in (("api.pem", made.certificate), ("api.key", made.key)):
        (tmp_path / name).write_text(text)
    tls = {"certificate": "file:api.pem", "key": "file:api.key"}
    configuration = hospital(database_url, free_port(), freshness="1h", tls=tls)
    configuration["enterprises"][ENTERPRISE]["safeguard"] = {"floor": 0, "percent": 0}
    found = Runtime.open(load(written(tmp_path, configuration), {}))
    yield found
    found.close()


def receive(runtime: Runtime, at: str, mrn: str, code: str) -> None:
    feed = runtime.feed(SOURCE)
    message = LINE.format(at=at, mrn=mrn, code=code).encode()
    runtime.engine.ingest(lane(feed), adapter(feed).mapper, [Payload(message, "test:1", runtime.clock())])


def everything_goes_wrong(runtime: Runtime) -> None:
    """An EMR takes a refusal back, sends a code that nobody mapped, and falls silent; a worker dies; a listener cannot write."""
    for at, mrn, code in (("830", "MRN1", "DNC"), ("831", "MRN1", "OK"), ("832", "MRN2", "UNMAPPED")):
        receive(runtime, at, mrn, code)
    with runtime.database.write(ENTERPRISE) as transaction:
        runtime.journal._state(transaction, SOURCE, ENTERPRISE, "last_heard", runtime.clock() - timedelta(days=1))
    runtime.preferences.freshness.last.changed()
    now, clock = datetime.now(UTC), runtime.database.clock
    runtime.database.clock = lambda: now - timedelta(minutes=1)
    Processes(runtime.database, "lost:1").beat([Place("work")], now - timedelta(hours=1))
    runtime.database.clock = clock
    failing = IntakeState(ENTERPRISE, SOURCE, now, 3, "the disk is full")
    Processes(runtime.database, "here:1").beat([Place("listen", SOURCE, ENTERPRISE)], now - timedelta(hours=1), [failing])
    runtime.keys.create("texts", ENTERPRISE, "sender", now, expires=now + timedelta(days=3))
    if not runtime.database.is_sqlite:  # which has no clock of its own
        runtime.database.clock = lambda: datetime.now(UTC) + timedelta(seconds=30)


def with_waiting_jobs(runtime: Runtime) -> Service:
    """Nobody works, so that jobs wait."""
    service = Service(runtime, ["schedule"])
    for number in range(7):
        job = Job(f"source-{number}")
        if isinstance(service.queue, LocalQueue):
            service.queue._waiting[job] = time.monotonic()  # its own threads would do it
        else:
            service.queue.put(job)
    return service


def firing(text: str, folder: Path) -> set[str]:
    """The rules that fire when the service stays as it is for an hour, according to Prometheus' own tool."""
    shutil.copy(RULES, folder)
    now = datetime.now(UTC).timestamp()
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
    series = [
        {
            "series": one.name + "{" + ", ".join(f'{key}="{value}"' for key, value in {**one.labels, "instance": "a:8080"}.items()) + "}",
            "values": f"{one.value - now if one.name.endswith(TIMESTAMP) else one.value}x70",  # the tool's clock starts at 0
        }
        for one in samples
    ]
    query = {"expr": 'count by (alertname) (ALERTS{alertstate="firing"})', "eval_time": "1h", "exp_samples": []}
    test: dict[str, Any] = {"interval": "1m", "input_series": series, "promql_expr_test": [query]}
    (folder / "test.yaml").write_text(yaml.safe_dump({"rule_files": ["alerts.yaml"], "evaluation_interval": "1m", "tests": [test]}))
    done = subprocess.run(["promtool", "test", "rules", "test.yaml"], cwd=folder, capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    assert done.returncode == 0 or "got:" in told, told
    return {part.partition('"')[0] for part in told.partition("got:")[2].split('alertname="')[1:]}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_the_rules_fire_on_the_metrics_of_a_service_in_trouble_and_not_before(runtime: Runtime, tmp_path: Path) -> None:
    receive(runtime, "829", "MRN1", "OK")
    runtime.database.compare_clocks()
    service = Service(runtime, ["schedule"])
    quiet = firing(runtime.metrics.text(measured(runtime, service.queue)).decode(), tmp_path)
    assert quiet == {"EmrSyncCertificateExpires", "EmrSyncCertificateExpiresSoon"}
    everything_goes_wrong(runtime)
    found = firing(runtime.metrics.text(measured(runtime, with_waiting_jobs(runtime).queue)).decode(), tmp_path)
    skewed = set() if runtime.database.is_sqlite else {"EmrSyncClockSkew"}
    assert found == quiet | skewed | {
        "EmrSyncChangesHeld",
        "EmrSyncIntakeRefused",
        "EmrSyncKeyExpires",
        "EmrSyncPatientsUnreadable",
        "EmrSyncProcessGone",
        "EmrSyncQueueGrowing",
        "EmrSyncQueueStuck",
        "EmrSyncSourceSilent",
    }
