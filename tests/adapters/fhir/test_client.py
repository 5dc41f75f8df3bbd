"""The client against answers made up with ``responses``; test_server.py does it over real sockets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
import responses

from adapters.base import AdapterError
from adapters.fhir.auth import SmartBackend
from adapters.fhir.client import FhirClient
from adapters.fhir.options import RestOptions
from adapters.fhir.probe import findings
from adapters.http.auth import Headers, Static
from tests.adapters.fhir.made import mapper
from tests.adapters.fhir.test_auth import pem

BASE = "https://ehr.example/r4"
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
DATE = "Sun, 01 Nov 2026 11:59:00 GMT"
TRUNCATED = b'{"resourceType": "Bundle", "entry": [{'


class Renewable(Static):
    """Credentials that can be had again; counts how often."""

    def __init__(self) -> None:
        super().__init__({"Authorization": "Bearer old"})
        self.renewed = 0

    def forget(self) -> bool:
        self.renewed += 1
        self._headers: Headers = {"Authorization": "Bearer new"}
        return True


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def client(slept: list[float]) -> Iterator[FhirClient]:
    made = FhirClient(BASE, Renewable(), clock=lambda: NOW, sleep=slept.append)
    yield made
    made.close()


def page(*resources: Any, next_url: str | None = None, **others: Any) -> str:
    links = [{"relation": "self", "url": "ignored"}] + ([] if next_url is None else [{"relation": "next", "url": next_url}])
    return json.dumps({"resourceType": "Bundle", "link": links, "entry": [{"resource": one} for one in resources], **others})


def ids(client: FhirClient) -> list[str]:
    return [json.loads(body)["id"] for found in client.search("Patient", {"_count": "2"}) for body in found.page.resources]


def test_next_links_are_followed_as_they_stand(web: responses.RequestsMock, client: FhirClient) -> None:
    web.get(f"{BASE}/Patient?_count=2", page({"id": "a"}, {"id": "b"}, next_url=f"{BASE}?opaque=%7B1%7D&x=+"))
    web.get(f"{BASE}?opaque=%7B1%7D&x=+", page({"id": "c"}, next_url="/r4?opaque=2"))
    web.get(f"{BASE}?opaque=2", page({"id": "d"}))
    assert ids(client) == ["a", "b", "c", "d"]
    assert [call.request.url for call in web.calls][1] == f"{BASE}?opaque=%7B1%7D&x=+"


def test_entries_about_the_search_are_no_results_and_bytes_are_kept(web: responses.RequestsMock, client: FhirClient) -> None:
    entry = '{"resource": {"resourceType":"OperationOutcome"}, "search": {"mode": "outcome"}}, {"fullUrl": "x"}, {"resource": {"id" : "a"}}'
    web.get(f"{BASE}/Patient", f'{{"resourceType": "Bundle", "total": 1, "entry": [{entry}]}}')
    (found,) = client.search("Patient", {})
    assert (found.page.resources, found.page.total, found.last) == ((b'{"id" : "a"}',), 1, True)


@pytest.mark.parametrize(
    ("bundle", "minute"),
    [("2026-11-01T11:58:00Z", 58), ("2026-11-01T11:59:30Z", 59), ("2099-01-01T00:00:00Z", 59), ("soon", 59), (None, 59)],
    ids=["earlier", "later", "2099", "no time", "none"],
)
def test_servers_time_is_its_date_and_it_searched_no_later(
    web: responses.RequestsMock, client: FhirClient, bundle: str | None, minute: int
) -> None:
    """What the Bundle says of itself may be when it was written, or any time to come."""
    web.get(f"{BASE}/Patient", page(meta={"lastUpdated": bundle}), headers={"Date": DATE})
    (found,) = client.search("Patient", {})
    assert found.at == datetime(2026, 11, 1, 11, 59, tzinfo=UTC)
    assert found.searched_at == datetime(2026, 11, 1, 11, minute, tzinfo=UTC)


def test_our_clock_counts_where_the_server_tells_no_time(web: responses.RequestsMock, client: FhirClient) -> None:
    web.get(f"{BASE}/Patient", page(), headers={"Date": "some day"})
    assert next(client.search("Patient", {})).at == NOW


@pytest.mark.parametrize(
    ("next_url", "named", "permanent"),
    [
        ("https://elsewhere.example/r4?page=2", "different origin", True),
        ("http://ehr.example/r4?page=2", "different origin", True),
        ("https://ehr.example:8443/r4?page=2", "different origin", True),
        ("", "empty", False),
    ],
)
def test_link_elsewhere_or_nowhere_fails_the_search(
    web: responses.RequestsMock, client: FhirClient, next_url: str, named: str, permanent: bool
) -> None:
    web.get(f"{BASE}/Patient?_count=2", page({"id": "a"}, next_url=next_url))
    with pytest.raises(AdapterError, match=named) as error:
        ids(client)
    assert error.value.permanent is permanent
    assert len(web.calls) == 1


def test_links_in_a_circle_fail_the_search(web: responses.RequestsMock, client: FhirClient) -> None:
    web.get(f"{BASE}/Patient?_count=2", page({"id": "a"}, next_url=f"{BASE}?p=2"))
    web.get(f"{BASE}?p=2", page({"id": "b"}, next_url=f"{BASE}?p=3"))
    web.get(f"{BASE}?p=3", page({"id": "c"}, next_url=f"{BASE}?p=2"))
    with pytest.raises(AdapterError, match="loop"):
        ids(client)


@pytest.mark.parametrize("status", [400, 404, 410, 422])
def test_missing_next_page_fails_the_search_and_may_be_tried_again(web: responses.RequestsMock, client: FhirClient, status: int) -> None:
    web.get(f"{BASE}/Patient?_count=2", page({"id": "a"}, next_url=f"{BASE}?p=2"))
    web.get(f"{BASE}?p=2", status=status)
    with pytest.raises(AdapterError, match="next page") as error:
        ids(client)
    assert not error.value.permanent


def test_server_without_the_search_stops_the_source(web: responses.RequestsMock, client: FhirClient) -> None:
    web.get(f"{BASE}/Patient?_count=2", status=404)
    with pytest.raises(AdapterError, match="does not support searching Patient") as error:
        ids(client)
    assert error.value.permanent


@pytest.mark.parametrize(
    "body", [TRUNCATED, b"", b"<html>", b"[]", b'{"resourceType": "Patient"}', b'{"resourceType": "Bundle", "entry": 3}']
)
def test_answer_that_is_no_bundle_fails_the_search(web: responses.RequestsMock, client: FhirClient, body: bytes) -> None:
    web.get(f"{BASE}/Patient?_count=2", body)
    with pytest.raises(AdapterError, match="instead of a Bundle"):
        ids(client)


def test_token_that_was_refused_is_renewed_once(web: responses.RequestsMock, client: FhirClient) -> None:
    web.get(f"{BASE}/metadata", status=401)
    web.get(f"{BASE}/metadata", "{}")
    assert client.get("metadata") is not None
    assert [call.request.headers["Authorization"] for call in web.calls] == ["Bearer old", "Bearer new"]


@pytest.mark.parametrize("status", [401, 403])
def test_second_refusal_stops_the_source(web: responses.RequestsMock, client: FhirClient, status: int) -> None:
    web.get(f"{BASE}/metadata", status=status)
    with pytest.raises(AdapterError, match=str(status)) as error:
        client.get("metadata")
    assert error.value.permanent
    assert len(web.calls) == 2


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_trouble_is_waited_out(web: responses.RequestsMock, client: FhirClient, slept: list[float], status: int) -> None:
    web.get(f"{BASE}/metadata", status=status)
    web.get(f"{BASE}/metadata", "{}")
    assert client.get("metadata") is not None
    assert len(slept) == 1


@pytest.mark.parametrize(("asked", "seconds"), [("7", 7.0), ("Sun, 01 Nov 2026 12:00:09 GMT", 9.0)])
def test_retry_after_is_obeyed_as_seconds_or_date(
    web: responses.RequestsMock, client: FhirClient, slept: list[float], asked: str, seconds: float
) -> None:
    web.get(f"{BASE}/metadata", status=429, headers={"Retry-After": asked})
    web.get(f"{BASE}/metadata", "{}")
    client.get("metadata")
    assert slept == [seconds]


def test_long_wait_is_left_to_the_schedule(web: responses.RequestsMock, client: FhirClient, slept: list[float]) -> None:
    web.get(f"{BASE}/metadata", status=429, headers={"Retry-After": "7200"})
    with pytest.raises(AdapterError) as error:
        client.get("metadata")
    assert (error.value.permanent, error.value.retry_after, slept) == (False, 7200.0, [])


def test_trouble_that_stays_ends_after_four_attempts(web: responses.RequestsMock, client: FhirClient, slept: list[float]) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "timeout", "diagnostics": "patient M1"}]}
    web.get(f"{BASE}/Patient/M1", json=outcome, status=503)
    with pytest.raises(AdapterError) as error:
        client.read("Patient", "M1")
    assert not error.value.permanent
    assert str(error.value) == "the server returned 503 (error: timeout)"
    assert (len(web.calls), len(slept)) == (4, 3)


@pytest.mark.parametrize("status", [400, 405, 422])
def test_request_that_the_server_does_not_understand_stops_the_source(web: responses.RequestsMock, client: FhirClient, status: int) -> None:
    web.get(f"{BASE}/Patient/M1", "{", status=status)
    with pytest.raises(AdapterError, match=rf"returned {status} \(truncated or invalid JSON\)$") as error:
        client.read("Patient", "M1")
    assert error.value.permanent


@pytest.mark.parametrize(
    ("failure", "permanent"),
    [
        (requests.ConnectionError("https://ehr.example/r4/Patient/M1"), False),
        (requests.ReadTimeout("https://ehr.example/r4/Patient/M1"), False),
        (requests.exceptions.ChunkedEncodingError("Patient/M1"), False),
        (requests.exceptions.SSLError("Patient/M1"), True),
    ],
)
def test_network_errors_are_told_without_the_address(
    web: responses.RequestsMock, client: FhirClient, failure: requests.RequestException, permanent: bool
) -> None:
    web.get(f"{BASE}/Patient/M1", body=failure)
    with pytest.raises(AdapterError) as error:
        client.read("Patient", "M1")
    assert error.value.permanent is permanent
    assert "M1" not in str(error.value)
    assert error.value.__suppress_context__


def test_redirect_within_the_server_is_followed_with_the_token(web: responses.RequestsMock, client: FhirClient) -> None:
    web.get(f"{BASE}/metadata", status=307, headers={"Location": "/r4/v2/metadata"})
    web.get(f"{BASE}/v2/metadata", "{}")
    assert client.get("metadata") is not None
    assert web.calls[1].request.headers["Authorization"] == "Bearer old"


def test_redirect_to_another_server_is_refused(web: responses.RequestsMock, client: FhirClient) -> None:
    web.get(f"{BASE}/metadata", status=307, headers={"Location": "https://elsewhere.example/metadata"})
    with pytest.raises(AdapterError, match="different origin"):
        client.get("metadata")


def test_redirects_without_end_are_refused(web: responses.RequestsMock, client: FhirClient) -> None:
    web.get(f"{BASE}/metadata", status=302, headers={"Location": "/r4/metadata"})
    with pytest.raises(AdapterError, match="too many redirects"):
        client.get("metadata")


def test_id_cannot_leave_its_place_in_the_address(web: responses.RequestsMock, client: FhirClient) -> None:
    web.get(f"{BASE}/Patient/a%2Fb%3Fc", "{}")
    assert client.read("Patient", "a/b?c") is not None


def test_password_of_the_machine_never_takes_the_tokens_place(
    web: responses.RequestsMock, client: FhirClient, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine ehr.example login other password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    web.get(f"{BASE}/metadata", "{}")
    client.get("metadata")
    assert web.calls[0].request.headers["Authorization"] == "Bearer old"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", r"returned 400$"),
        (b"<html>", r"400 \(an HTML page\)$"),
        (b"<?xml version='1.0'?><OperationOutcome/>", r"400 \(XML\)$"),
        (b"{}", r"400 \(JSON of unexpected structure\)$"),
        (b'{"resourceType": "OperationOutcome", "issue": "M1"}', r"400 \(JSON of type OperationOutcome\)$"),
        (b'{"resourceType": "Patient M1"}', r"400 \(JSON of unexpected structure\)$"),
        (b"Patient M1 is unknown", r"400 \(text that is not JSON\)$"),
        (b"[" * 100_000, r"400 \(truncated or invalid JSON\)$"),
    ],
)
def test_error_body_is_told_by_its_kind_and_never_quoted(web: responses.RequestsMock, client: FhirClient, body: bytes, told: str) -> None:
    web.get(f"{BASE}/metadata", body, status=400)
    with pytest.raises(AdapterError, match=told):
        client.get("metadata")


def test_odd_issue_codes_are_not_repeated(web: responses.RequestsMock, client: FhirClient) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "Patient M1 not found"}]}
    web.get(f"{BASE}/metadata", json=outcome, status=400)
    with pytest.raises(AdapterError, match=r"\(error: unknown\)"):
        client.get("metadata")


def test_token_endpoint_in_trouble_is_waited_out_and_gets_no_token(web: responses.RequestsMock, slept: list[float]) -> None:
    auth = SmartBackend(BASE, {"client_id": "us", "private_key": pem(), "alg": "ES384"}, lambda: NOW)
    client = FhirClient(BASE, auth, clock=lambda: NOW, sleep=slept.append)
    web.get(f"{BASE}/.well-known/smart-configuration", json={"token_endpoint": "https://login.example/token"})
    web.post("https://login.example/token", status=503, headers={"Retry-After": "3"})
    web.post("https://login.example/token", json={"access_token": "t1", "expires_in": 300})
    web.get(f"{BASE}/metadata", "{}")
    assert client.get("metadata") is not None
    assert slept == [3.0]
    assert [call.request.headers.get("Authorization") for call in web.calls] == [None, None, None, "Bearer t1"]
    client.close()


def test_scope_that_was_not_granted_is_found_by_check(web: responses.RequestsMock) -> None:
    auth = SmartBackend(
        BASE, {"client_id": "us", "private_key": pem(), "alg": "ES384", "token_url": "https://login.example/token"}, lambda: NOW
    )
    client = FhirClient(BASE, auth, clock=lambda: NOW, sleep=lambda _: None)
    web.post("https://login.example/token", json={"access_token": "t1", "scope": "system/Consent.read"})
    web.get(f"{BASE}/metadata", "{}")
    web.get(f"{BASE}/Patient", page())
    first, *_ = list(findings(client, mapper(), RestOptions(BASE)))
    assert (first.ok, first.detail) == (False, "the server granted fewer scopes than requested: missing system/Patient.read")
    client.close()
