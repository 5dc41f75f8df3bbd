"""A Consent with a period, by the commands and the running service: read before its time, asked about at any time."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from store.domain.lock import Grant, Role
from sync import service as services
from sync.commands import cli
from sync.config import load
from sync.runtime import Runtime, connected
from sync.service import Service

CATEGORY = {"coding": [{"system": "https://codes.example", "code": "sms"}]}
CELL = {"system": "phone", "use": "mobile", "value": "217-555-0101"}


def configuration(folder: Path, url: str) -> Path:
    source = {
        "enterprise": "clinic",
        "adapter": "fhir.rest",
        "base_url": "https://ehr.example/r4",
        "schedule": {"every": "1h"},
        "patient_id": {"authority": "CLINIC", "type": "MR"},
        "consent": {"attribute": "consent.sms", "category": ["https://codes.example|sms"]},
    }
    clinic = {"sync_contact_preferences": True, "default_region": "US", "safeguard": {"floor": 2, "percent": 0}}
    document = {
        "database": url,
        "api": {"listen": "127.0.0.1:0"},
        "logs": {"level": "error"},
        "payload_keys": {"current": "k1", "keys": {"k1": "4b" * 32}},
        "enterprises": {"clinic": clinic | {"authorities": {"CLINIC": ["https://clinic.example/mrn"]}}},
        "sources": {"ehr": source},
    }
    file = folder / "config.yaml"
    file.write_text(json.dumps(document))
    return file


def patient(name: str) -> dict[str, Any]:
    kind = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]}
    identifier = {"system": "https://clinic.example/mrn", "value": f"MRN{name}", "type": kind}
    return _resource("Patient", name, identifier=[identifier], telecom=[CELL | {"value": f"217-555-01{name.rjust(2, '0')}"}])


def consent(name: str, kind: str, **period: datetime) -> dict[str, Any]:
    provision = {"type": kind, "period": {edge: moment.isoformat() for edge, moment in period.items()}}
    return _resource("Consent", name, status="active", category=[CATEGORY], patient={"reference": f"Patient/{name}"}, provision=provision)


def _resource(kind: str, name: str, **elements: Any) -> dict[str, Any]:
    changed = (datetime.now(UTC) - timedelta(days=10)).isoformat()
    return {"resourceType": kind, "id": name, "meta": {"versionId": "1", "lastUpdated": changed}, **elements}


@pytest.fixture
def config(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = configuration(tmp_path, database_url)
    monkeypatch.setenv("EMR_SYNC_CONFIG", str(file))
    return file


Run = Callable[..., Any]


@pytest.fixture
def emr_sync(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str, code: int = 0) -> Any:
        capsys.readouterr()
        ended, printed = cli.run([*arguments, "--json"]), capsys.readouterr()
        assert ended == code, printed
        return json.loads(printed.out)

    return run


def ingested(run: Run, config: Path, *resources: dict[str, Any]) -> Any:
    file = config.parent / "records.ndjson"
    file.write_text("".join(json.dumps(one) + "\n" for one in resources))
    return run("ingest", "ehr", str(file))


def decided(run: Run, name: str, at: datetime | None = None) -> str:
    when = ("--at", at.isoformat()) if at else ()
    return str(run("decide", f"MRN{name}", "--type", "broadcast", "--channels", "sms", *when)["decision"])


def test_the_examples_by_the_commands(config: Path, emr_sync: Run) -> None:
    now = datetime.now(UTC)
    begins, ends = now + timedelta(days=2), now + timedelta(days=30)
    deny = [patient("1"), consent("1", "deny", start=begins, end=ends)]
    permit = [patient("2"), consent("2", "permit", end=now - timedelta(days=1))]
    assert ingested(emr_sync, config, *deny, *permit)["status"] == "done"
    moments = [None, begins - timedelta(hours=1), begins + timedelta(hours=1), ends - timedelta(hours=1), ends + timedelta(hours=1)]
    assert [decided(emr_sync, "1", at) for at in moments] == ["send", "send", "do_not_send", "do_not_send", "send"]
    sheet = emr_sync("patient", "MRN2")
    assert sheet["preferences"].get("consent.sms", {"value": "unknown"})["value"] == "unknown", "a permission that ended is no permission"


def of_patient(patient: str, name: str, kind: str, days: float, **elements: Any) -> dict[str, Any]:
    """One of several Consents of a patient, last changed that many days ago."""
    changed = (datetime.now(UTC) - timedelta(days=days)).isoformat()
    period = elements.pop("period", {})
    made = consent(patient, kind, **period) | {"id": name, "meta": {"versionId": "1", "lastUpdated": changed}} | elements
    return {element: value for element, value in made.items() if value is not None}


def test_the_end_of_one_consent_erases_no_refusal_of_another(config: Path, emr_sync: Run) -> None:
    now = datetime.now(UTC)
    begins, ends, later = (now + timedelta(days=days) for days in (2, 11, 16))
    given = (now - timedelta(days=24)).isoformat()
    resources = [
        patient("1"), of_patient("1", "a1", "deny", 59),
        of_patient("1", "b1", "permit", 24, dateTime=given, period={"end": ends}),
        patient("2"), of_patient("2", "a2", "deny", 28, period={"start": begins}),
        of_patient("2", "b2", "permit", 26, dateTime=(now - timedelta(days=26)).isoformat(), period={"end": ends}),
        patient("3"), of_patient("3", "a3", "deny", 30),
        patient("4"), of_patient("4", "a4", "deny", 30),
        patient("5"), of_patient("5", "", "deny", 28, id=None, period={"start": begins}),
        of_patient("5", "", "permit", 20, id=None, dateTime=given, period={"start": later}),
    ]  # fmt: skip
    assert ingested(emr_sync, config, *resources)["status"] == "done"
    ended = [
        of_patient("3", "b3", "permit", 1, status="inactive"),
        of_patient("4", "b4", "permit", 20, dateTime=given, period={"end": now - timedelta(days=2)}),
    ]
    ingested(emr_sync, config, *ended)
    day = timedelta(days=1)
    assert [decided(emr_sync, "1", at) for at in (None, ends + day)] == ["send", "do_not_send"]
    assert [decided(emr_sync, "2", at) for at in (begins + day, ends + day)] == ["send", "do_not_send"]
    assert [decided(emr_sync, name) for name in "34"] == ["do_not_send"] * 2
    assert [decided(emr_sync, "5", at) for at in (None, begins + day)] == ["send", "do_not_send"]


def test_explain_tells_what_is_ahead(config: Path, emr_sync: Run) -> None:
    begins = datetime(2126, 12, 1, tzinfo=UTC)
    file = config.parent / "one.json"
    file.write_text(json.dumps(consent("1", "deny", start=begins)))
    (item,) = emr_sync("explain", "ehr", str(file))["payloads"][0]["items"]
    assert item["later"] == [
        {"attribute": "consent.sms", "from": "2126-12-01T00:00:00Z", "value": "denied", "path": "Consent.provision.type"}
    ]


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def running(config: Path, emr_sync: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Service, Clock, datetime]]:
    """Patient 1 refuses from a moment on; the refusals of 2, 3 and 4 are over then. The safeguard lets two be loosened."""
    monkeypatch.setattr(services, "DUE_EVERY", 0.1)
    clock = Clock()
    moment = clock.now + timedelta(days=1)
    before = moment - timedelta(seconds=1)  # a period includes its last second
    ended = [consent(name, "deny", end=before) for name in "234"]
    ingested(emr_sync, config, *(patient(name) for name in "1234"), consent("1", "deny", start=moment), *ended)
    settings = load(config)
    runtime = Runtime(settings, connected(settings), clock)
    service = Service(runtime, ("api", "work"))
    service.start()
    try:
        yield service, clock, moment
    finally:
        service.stop()
        runtime.close()


def asked(service: Service, path: str, body: Any, kind: str = "application/json") -> str:
    key = service.runtime.keys.create(f"k{time.monotonic_ns()}", "clinic", Role.SENDER, datetime.now(UTC), grants=[Grant.PATIENTS])[1]
    headers = {"Authorization": f"Bearer {key}", "Content-Type": kind}
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"http://{service.address}{path}", data, headers), timeout=20) as answer:
        return str(answer.read().decode())


def answers(service: Service, name: str) -> list[str]:
    """One ask by each way of asking, the facesheet last."""
    ref = {"authority": "CLINIC", "value": f"MRN{name}"}
    ask = {"patient": ref, "message_type": "broadcast", "channels": ["sms"]}
    one = json.loads(asked(service, "/v1/decisions", ask))
    (many,) = json.loads(asked(service, "/v1/decisions/batch", [ask]))
    line = json.loads(asked(service, "/v1/decisions/batch", json.dumps(ask).encode() + b"\n", "application/x-ndjson"))
    sheet = json.loads(asked(service, "/v1/patients/lookup", ref))
    return [one["decision"], many["decision"], line["decision"], sheet["preferences"].get("consent.sms", {"value": "unknown"})["value"]]


def test_the_running_service_tells_when_a_period_begins_or_ends(running: tuple[Service, Clock, datetime], emr_sync: Run) -> None:
    service, clock, moment = running
    assert answers(service, "1") == ["send", "send", "send", "unknown"]
    assert answers(service, "2") == ["do_not_send", "do_not_send", "do_not_send", "denied"]
    last = json.loads(asked(service, "/v1/changes?after=0", None))["next"]
    clock.now = moment
    assert answers(service, "1") == ["do_not_send", "do_not_send", "do_not_send", "denied"]
    deadline = time.monotonic() + 20
    while (news := _changed(service, last)) < 3 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert news == 3, "one began; two of the three that ended were let through"
    assert sorted(answers(service, name)[0] for name in "234") == ["do_not_send", "send", "send"]
    (run,) = [one for one in emr_sync("runs") if one["status"] == "held"]
    assert run["counts"]["held"] == 1


def _changed(service: Service, after: int) -> int:
    return len(json.loads(asked(service, f"/v1/changes?after={after}", None))["changes"])
