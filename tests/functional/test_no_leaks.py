"""A complete service with debug logging: no patient data in a log line, a metric, an error or a URL.

Every value of this run's patients is searched in everything that the processes wrote and in every response that is not about a
patient.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from adapters.rehearsal.emr import RehearsalEmr
from store.db.database import Database
from store.users.api_keys import ApiKeys
from tests.functional.program import emr_sync, ended, free_port, hospital, serving, written
from tests.leaks import leaks

PATIENTS = 15
EXAMPLE = "+12175550100"  # the example number in our own messages
SECRET = "Zyxwvut"  # stands for any value that a sender or an EMR puts in the wrong place
BROKEN = f"MSH|^~\\&|EHR|GH|SYNC|GH|20261101083000||ADT^A08|B1|P|2.5.1\rPID|1||{SECRET}1^^^OTHER^MR||{SECRET}2^Person\rZCP|1|{SECRET}3\r"
UNMAPPED = BROKEN.replace(f"{SECRET}1^^^OTHER^MR", "OTHER1^^^GENHOSP^MR").replace(f"{SECRET}2^Person", "Other^Person")


@pytest.fixture(scope="module")
def emr() -> Iterator[RehearsalEmr]:
    with RehearsalEmr(patients=PATIENTS, seed=5) as running:
        yield running


def values(emr: RehearsalEmr) -> set[str]:
    """Every value that could identify a patient of this EMR."""
    people = [emr.entry(index).person for index in range(PATIENTS)]
    found = {value for one in people for value in (one.mrn, one.family, one.given, one.email, *(number.e164 for number in one.numbers))}
    national = {number.e164.removeprefix("+1") for one in people for number in one.numbers}
    return {value for value in found | national if value and len(value) > 4}


def create_keys(url: str, roles: Iterable[str]) -> dict[str, str]:
    database = Database.open(url)
    keys = {role: ApiKeys(database).create(role, "general-hospital", role, datetime.now(UTC))[1] for role in roles}
    database.close()
    return keys


def request(port: int, key: str, method: str, path: str, body: Any = None) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, data, {"Authorization": f"Bearer {key}"})
    answer = connection.getresponse()
    text = f"{answer.getheaders()}{answer.read().decode()}"
    connection.close()
    return answer.status, text


def wrong_requests(port: int, keys: dict[str, str], emr: RehearsalEmr) -> str:
    """Sends invalid requests with values that must not be quoted; gives all the responses."""
    person = emr.entry(3).person
    number = person.numbers[0].e164
    who = {"authority": "NOWHERE", "value": person.mrn}
    asks = [
        ("sender", "POST", "/v1/decisions", {"patient": {"value": person.mrn}, "message_type": person.family, "channels": [number]}),
        ("sender", "POST", "/v1/decisions", {"patient": {"value": person.mrn, "type": [person.family]}}),
        ("sender", "POST", "/v1/decisions", f"{{{person.mrn}".encode()),
        ("sender", "POST", "/v1/decisions/batch", f'{{"{person.mrn}": 1}}'.encode()),
        ("sender", "POST", "/v1/sms-replies", {"line": "", "from": number, "body": person.family}),
        ("sender", "POST", "/v1/sms-replies", {"line": "+12175550190", "from": person.family, "body": number}),
        ("staff", "POST", "/v1/patients/lookup", who),
        ("staff", "GET", f"/v1/patients/{person.mrn}", None),
        ("staff", "GET", f"/v1/patients/{person.mrn}/history?name={person.family}", None),
        ("auditor", "GET", f"/v1/patients/{person.mrn}/as-of?at={person.family}", None),
        ("auditor", "GET", f"/v1/audit?patient={person.mrn}&limit={number}", None),
        ("operator", "GET", f"/v1/runs/{person.mrn}", None),
        ("operator", "POST", f"/v1/sources/{person.family}/resync", None),
        ("operator", "GET", f"/v1/rejections?status={person.family}", None),
        ("staff", "GET", f"/{person.mrn}/{person.family}", None),
    ]
    answers = [request(port, keys[role], method, path, body) for role, method, path, body in asks]
    assert {status for status, _ in answers} <= {400, 404, 409, 422}
    return "\n".join(text for _, text in answers)


def commands_that_fail(config: Path, emr: RehearsalEmr) -> str:
    """The output of failing commands whose arguments it must not repeat."""
    person, outputs = emr.entry(4).person, []
    for arguments in (["patient", f"NOWHERE|{person.mrn}"], ["decide", person.email or "x", "--type", "automation", "--channels", "x"]):
        code, _, err = ended(config, *arguments)
        assert code in (1, 2)
        outputs.append(err)
    return "\n".join(outputs)


@pytest.mark.shows_values
@pytest.mark.timeout(300)
def test_patient_data_appears_only_in_responses_about_the_patient(database_url: str, tmp_path: Path, emr: RehearsalEmr) -> None:
    mllp = free_port()
    configuration = hospital(database_url, mllp)
    (tmp_path / "key.pem").write_text(emr.private_key)
    configuration["sources"]["genhosp-fhir"] = emr.fhir_source(enterprise="general-hospital", private_key=f"file:{tmp_path / 'key.pem'}")
    configuration["logs"] = {"level": "debug", "format": "json"}
    configuration["api"]["access_log"] = "true"
    configuration["payload_keys"] = {"current": "k1", "keys": {"k1": "4b" * 32}}
    config = written(tmp_path, configuration)
    port = int(configuration["api"]["listen"].rpartition(":")[2])
    roles = ("sender", "staff", "operator", "auditor")
    keys = create_keys(database_url, roles)
    with serving(config, mllp):
        emr.send("127.0.0.1", mllp)
        emr.send("127.0.0.1", mllp, [BROKEN.encode(), UNMAPPED.encode(), f"{SECRET} is no message".encode()])
        emr_sync(config, "resync", "genhosp-fhir")
        mrn = emr.entry(0).person.mrn
        emr_sync(config, "resync", "genhosp-fhir", "--patient", mrn)
        ask = {"patient": {"value": mrn}, "message_type": "broadcast", "channels": ["sms", "voice", "email"]}
        assert request(port, keys["sender"], "POST", "/v1/decisions", ask)[0] == 200
        refused = wrong_requests(port, keys, emr)
        metrics = request(port, keys["sender"], "GET", "/metrics")[1] + request(port, keys["sender"], "GET", "/readyz")[1]
        rejections = request(port, keys["operator"], "GET", "/v1/rejections")[1]
        runs = request(port, keys["operator"], "GET", "/v1/runs")[1]
        audit = request(port, keys["auditor"], "GET", "/v1/audit?limit=1000")[1]
    log = (tmp_path / "serve.log").read_text()
    assert '"POST /v1/decisions 200"' in log, "the log must contain requests, too"
    assert "…" in json.dumps(log, ensure_ascii=False) or "\\u2026" in log, "caller data in URLs must be left out"
    assert "code_unmapped" in rejections or "value_unmapped" in rejections
    everything = {
        "log": log, "refusals": refused, "metrics": metrics, "rejections": rejections, "runs": runs, "audit": audit,
        "commands": commands_that_fail(config, emr),
    }  # fmt: skip
    wanted = {*values(emr), SECRET}
    for name, text in everything.items():
        quiet = text.replace(EXAMPLE, "")
        assert (name, sorted(one for one in wanted if one in quiet), leaks(quiet)) == (name, [], [])
    stored = (tmp_path / "test.db").read_bytes() if database_url.startswith("sqlite") else b""
    assert SECRET.encode() not in stored, "rejected payloads must be encrypted"
