"""Bulk exports of the rehearsal EMR over a real socket."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest
import requests

from adapters.base import IngestResult
from adapters.hl7v2.mllp import MllpListener
from adapters.rehearsal import disorder
from adapters.rehearsal.certificate import create
from adapters.rehearsal.emr import RehearsalEmr
from tests.adapters.fhir.made import settings
from tests.adapters.rehearsal.test_fhir_server import Client

ASYNC = {"Prefer": "respond-async"}


@pytest.fixture
def emr() -> Iterator[RehearsalEmr]:
    with RehearsalEmr(patients=30, seed=4) as running:
        running.exports.file_size = 20
        yield running


@pytest.fixture
def client(emr: RehearsalEmr) -> Client:
    return Client(emr).log_in()


def call(client: Client, path: str, method: str = "GET", **headers: str) -> requests.Response:
    url = path if path.startswith("http") else f"{client.emr.base_url}/{path}"
    return client.session.request(method, url, headers={"Authorization": f"Bearer {client.token}", **headers}, timeout=30)


def exported(client: Client, path: str = "$export") -> tuple[str, dict[str, Any]]:
    status = call(client, path, **ASYNC).headers["Content-Location"]
    while (answer := call(client, status)).status_code == 202:
        assert answer.headers["X-Progress"].endswith("% of the export is done")
    return status, answer.json()


def lines(client: Client, file: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in call(client, file["url"]).content.splitlines()]


@pytest.mark.parametrize("path", ["$export", "Patient/$export", "Group/everybody/$export"])
def test_an_export_contains_all_patients_with_counts(client: Client, path: str) -> None:
    _, manifest = exported(client, path)
    assert [file["count"] for file in manifest["output"]] == [20, 10]
    found = [one["id"] for file in manifest["output"] for one in lines(client, file)]
    assert found == [f"rp-{index}" for index in range(30)]
    assert manifest["requiresAccessToken"] is True


def test_a_group_export_contains_only_its_members(emr: RehearsalEmr, client: Client) -> None:
    emr.exports.groups["few"] = [3, 25]
    _, manifest = exported(client, "Group/few/$export")
    assert [one["id"] for file in manifest["output"] for one in lines(client, file)] == ["rp-3", "rp-25"]
    members = client.get("Group/few").json()["member"]
    assert [one["entity"]["reference"] for one in members] == ["Patient/rp-3", "Patient/rp-25"]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("$export", {}, 400),
        ("$export?_since=yesterday", ASYNC, 400),
        ("Group/nobody/$export", ASYNC, 404),
        ("Group/nobody", {}, 404),
    ],
)
def test_invalid_kick_offs_are_refused(client: Client, path: str, headers: dict[str, str], status: int) -> None:
    assert call(client, path, **headers).status_code == status


def test_one_export_at_a_time_until_it_is_deleted(client: Client) -> None:
    status, _ = exported(client)
    assert call(client, "$export", **ASYNC).status_code == 429
    assert [call(client, status, "DELETE").status_code for _ in range(2)] == [202, 404]
    assert call(client, status).status_code == 404
    assert call(client, "$export", **ASYNC).status_code == 202


def test_an_export_needs_a_token(emr: RehearsalEmr, client: Client) -> None:
    status, manifest = exported(client)
    for url in (status, manifest["output"][0]["url"], f"{emr.base_url}/Group/everybody"):
        assert requests.get(url, timeout=30).status_code == 401
    assert requests.delete(status, timeout=30).status_code == 401


def test_files_are_gzipped_if_the_client_accepts_it(client: Client) -> None:
    _, manifest = exported(client)
    url = manifest["output"][0]["url"]
    plain = call(client, url, **{"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    headers = {"Authorization": f"Bearer {client.token}", "Accept-Encoding": "gzip"}
    zipped = client.session.get(url, headers=headers, stream=True, timeout=30)
    assert gzip.decompress(zipped.raw.read(decode_content=False)) == plain.content


def test_a_deleted_patient_is_not_readable_and_is_in_the_next_export(emr: RehearsalEmr, client: Client) -> None:
    status, manifest = exported(client)
    call(client, status, "DELETE")
    emr.remove(5)
    assert client.get("Patient/rp-5").status_code == 410
    assert client.get("Patient", _count="100").json()["total"] == 29
    _, later = exported(client, f"$export?_since={manifest['transactionTime']}")
    (bundle,) = lines(client, later["deleted"][0])
    assert bundle["entry"] == [{"request": {"method": "DELETE", "url": "Patient/rp-5"}}]


def test_tls_is_trusted_by_its_own_certificate_only() -> None:
    with RehearsalEmr(patients=3, seed=4, tls=True) as emr:
        assert emr.certificate is not None
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(f"{emr.base_url}/metadata", timeout=30)


def test_streams_are_disordered_as_planned() -> None:
    messages = [b"MSH|1\rPID|||||Invented\r", b"MSH|2\rPID|||||Invented\r", b"MSH|3\rPID|||||Invented\r"]
    assert list(disorder.duplicated(messages, 2)) == [messages[0], messages[1], messages[1], messages[2]]
    assert list(disorder.reordered(messages, 2)) == [messages[1], messages[0], messages[2]]
    wrong = list(disorder.miswritten(messages, 3))
    assert wrong[:2] == messages[:2]
    with pytest.raises(UnicodeDecodeError):
        wrong[2].decode()


def test_the_adt_feed_supports_tls() -> None:
    certificate = create()
    tls = {"certificate": certificate.certificate, "key": certificate.key}
    listener: Any = MllpListener(settings(adapter="hl7v2.mllp", options={"listen": "127.0.0.1:0", "tls": tls}))
    thread = Thread(target=listener.serve, args=(lambda payloads: [IngestResult("applied") for _ in payloads],))
    thread.start()
    assert listener.bound.wait(10)
    report = RehearsalEmr(patients=10, seed=4).send(*listener.address, tls=certificate.client())
    listener.stop()
    thread.join(10)
    assert (report.accepted, report.sent) == (10, 10)
