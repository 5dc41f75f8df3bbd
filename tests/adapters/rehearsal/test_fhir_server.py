"""The FHIR endpoint of the rehearsal EMR over a real socket."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec

from adapters.rehearsal.dialect import DO_NOT_CONTACT, MRN_SYSTEM, PREFERRED_METHOD, TEXTING_OK
from adapters.rehearsal.emr import RehearsalEmr
from adapters.rehearsal.population import mrn
from adapters.rehearsal.resource import instant
from adapters.rehearsal.token import ASSERTION_TYPE

OPENED = datetime(2026, 11, 1, 8, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = OPENED

    def __call__(self) -> datetime:
        return self.now


class Client:
    """A minimal SMART backend client."""

    def __init__(self, emr: RehearsalEmr) -> None:
        self.emr, self.session, self.token = emr, requests.Session(), ""

    def claims(self, **changes: Any) -> dict[str, Any]:
        who = self.emr.client_id
        expires = int((self.emr.chart.clock() + timedelta(minutes=4)).timestamp())
        return {"iss": who, "sub": who, "aud": self.emr.token_url, "exp": expires, "jti": uuid.uuid4().hex} | changes

    def ask_token(self, claims: dict[str, Any], key: Any = None, **form: str) -> requests.Response:
        assertion = jwt.encode(claims, key or self.emr.private_key, algorithm=self.emr.key.algorithm)
        fields = {
            "grant_type": "client_credentials",
            "scope": "system/Patient.rs",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion,
        }
        return self.session.post(self.emr.token_url, data=fields | form, timeout=30)

    def log_in(self) -> Client:
        self.token = self.ask_token(self.claims()).json()["access_token"]
        return self

    def get(self, path: str, **parameters: str) -> requests.Response:
        url = path if path.startswith("http") else f"{self.emr.base_url}/{path}"
        return self.session.get(url, params=parameters, headers={"Authorization": f"Bearer {self.token}"}, timeout=30)

    def walk(self, **parameters: str) -> list[list[str]]:
        """The resource IDs, page by page."""
        pages, bundle = [], self.get("Patient", **parameters).json()
        while True:
            pages.append([entry["resource"]["id"] for entry in bundle.get("entry", [])])
            following = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), None)
            if following is None:
                return pages
            bundle = self.get(following).json()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def emr(clock: Clock) -> Iterator[RehearsalEmr]:
    with RehearsalEmr(patients=60, seed=1, clock=clock) as running:
        yield running


@pytest.fixture
def client(emr: RehearsalEmr) -> Iterator[Client]:
    client = Client(emr).log_in()
    yield client
    client.session.close()


def code_of(response: requests.Response) -> str:
    body = response.json()
    assert body["resourceType"] == "OperationOutcome"
    return str(body["issue"][0]["code"])


def test_it_works_with_either_algorithm() -> None:
    for algorithm in ("RS384", "ES384"):
        with RehearsalEmr(patients=3, algorithm=algorithm) as emr:
            client = Client(emr).log_in()
            assert client.get("Patient").json()["total"] == 3
            client.session.close()


def test_pages_contain_every_patient_once_and_in_order(client: Client) -> None:
    pages = client.walk(_count="25")
    assert [len(page) for page in pages] == [25, 25, 10]
    assert [one for page in pages for one in page] == [f"rp-{index}" for index in range(60)]


def test_a_full_last_page_has_no_next_link(client: Client) -> None:
    assert [len(page) for page in client.walk(_count="30")] == [30, 30]


def test_a_patient_resource_contains_the_data_of_the_emr(emr: RehearsalEmr, client: Client) -> None:
    for index in range(60):
        person, response = emr.entry(index).person, client.get(f"Patient/rp-{index}")
        found = response.json()
        values = {one["url"]: one.get("valueBoolean", one.get("valueCode")) for one in found.get("extension", [])}
        assert (values.get(DO_NOT_CONTACT), values.get(PREFERRED_METHOD), values.get(TEXTING_OK)) == (
            person.do_not_contact,
            person.preferred_method,
            person.texting_ok,
        )
        assert found["identifier"][0] | {"type": None} == {"use": "usual", "type": None, "system": MRN_SYSTEM, "value": person.mrn}
        assert ("deceasedDateTime" in found) == bool(person.deceased_on)
        assert [] not in found.values()
        assert response.headers["ETag"] == f'W/"{found["meta"]["versionId"]}"'


def test_a_restricted_record_has_no_telecom() -> None:
    with RehearsalEmr(patients=400) as emr:
        hidden = next(index for index in range(400) if emr.entry(index).person.restricted and emr.entry(index).person.numbers)
        client = Client(emr).log_in()
        found = client.get(f"Patient/rp-{hidden}").json()
        client.session.close()
    assert "telecom" not in found
    assert found["meta"]["security"][0]["code"] == "R"


def test_a_search_by_last_update_finds_only_what_changed(emr: RehearsalEmr, client: Client, clock: Clock) -> None:
    clock.now += timedelta(minutes=1)
    changed = [f"rp-{index}" for index in emr.tick()]
    assert client.walk(_lastUpdated="ge" + instant(clock.now)) == [changed]
    assert client.walk(_lastUpdated="gt" + instant(clock.now)) == [[]]
    assert client.walk(_lastUpdated="lt" + instant(clock.now), _count="100") == [
        [one for one in (f"rp-{index}" for index in range(60)) if one not in changed]
    ]


def test_a_changed_patient_has_a_new_version_and_time(emr: RehearsalEmr, client: Client, clock: Clock) -> None:
    before = client.get("Patient/rp-0").json()["meta"]
    clock.now += timedelta(minutes=1)
    emr.tick()
    after = client.get("Patient/rp-0").json()["meta"]
    assert (before["versionId"], after["versionId"], after["lastUpdated"]) == ("1", "2", "2026-11-01T08:01:00.000Z")


def test_a_server_without_last_updated_declares_and_ignores_it(clock: Clock) -> None:
    with RehearsalEmr(patients=5, clock=clock, search_by_last_updated=False) as emr:
        client = Client(emr).log_in()
        statement = client.get("metadata").json()
        found = client.walk(_lastUpdated="gt2030-01-01")
        client.session.close()
    assert [one["name"] for one in statement["rest"][0]["resource"][0]["searchParam"]] == ["_id", "identifier"]
    assert [len(page) for page in found] == [5]


def test_the_date_header_is_the_emr_s_own_time(client: Client, clock: Clock) -> None:
    clock.now = datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert client.get("metadata").headers["Date"] == "Sat, 02 Jan 2027 03:04:05 GMT"


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({"_id": "rp-7"}, ["rp-7"]),
        ({"_id": "rp-9,rp-7,other,rp-600"}, ["rp-7", "rp-9"]),
        ({"identifier": f"{MRN_SYSTEM}|{mrn(3)}"}, ["rp-3"]),
        ({"identifier": mrn(3)}, ["rp-3"]),
        ({"identifier": f"https://other.example|{mrn(3)}"}, []),
    ],
)
def test_patients_are_found_by_id_and_identifier(client: Client, parameters: dict[str, str], found: list[str]) -> None:
    bundle = client.get("Patient", **parameters).json()
    assert [entry["resource"]["id"] for entry in bundle.get("entry", [])] == found
    assert bundle["total"] == len(found)


@pytest.mark.parametrize(
    "parameters", [{"_count": "0"}, {"_count": "x"}, {"_lastUpdated": "geyesterday"}, {"_page": "broken"}, {"_page": "W10"}]
)
def test_an_invalid_search_is_refused(client: Client, parameters: dict[str, str]) -> None:
    response = client.get("Patient", **parameters)
    assert (response.status_code, code_of(response)) == (400, "invalid")


@pytest.mark.parametrize(("path", "code"), [("Patient/rp-60", "not-found"), ("Patient/x", "not-found"), ("Observation", "not-supported")])
def test_unknown_resources_are_not_found(client: Client, path: str, code: str) -> None:
    response = client.get(path)
    assert (response.status_code, code_of(response)) == (404, code)


def test_another_method_gets_an_operation_outcome(emr: RehearsalEmr) -> None:
    response = requests.delete(f"{emr.base_url}/Patient/rp-1", timeout=30)
    assert (response.status_code, code_of(response)) == (501, "not-supported")


def test_requests_without_a_token_are_refused(emr: RehearsalEmr) -> None:
    response = requests.get(f"{emr.base_url}/Patient", timeout=30)
    assert (response.status_code, code_of(response)) == (401, "login")


def test_a_token_expires(client: Client, clock: Clock) -> None:
    clock.now += timedelta(minutes=5)
    assert client.get("Patient").status_code == 401


def test_the_token_endpoint_can_be_discovered(emr: RehearsalEmr) -> None:
    smart = requests.get(f"{emr.base_url}/.well-known/smart-configuration", timeout=30).json()
    statement = requests.get(f"{emr.base_url}/metadata", timeout=30).json()
    assert smart["token_endpoint"] == emr.token_url
    assert statement["rest"][0]["security"]["extension"][0]["extension"] == [{"url": "token", "valueUri": emr.token_url}]


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "https://other.example/token"},
        {"iss": "somebody"},
        {"sub": "somebody"},
        {"exp": int((OPENED - timedelta(seconds=1)).timestamp())},
        {"exp": int((OPENED + timedelta(minutes=10)).timestamp())},
        {"exp": "soon"},
    ],
)
def test_a_wrong_assertion_is_refused(client: Client, changes: dict[str, Any]) -> None:
    response = client.ask_token(client.claims(**changes))
    assert (response.status_code, response.json()["error"]) == (400, "invalid_client")


@pytest.mark.parametrize("missing", ["jti", "exp", "aud", "iss", "sub"])
def test_an_assertion_without_a_required_claim_is_refused(client: Client, missing: str) -> None:
    claims = client.claims()
    del claims[missing]
    assert client.ask_token(claims).json()["error"] == "invalid_client"


def test_an_assertion_can_be_used_once(client: Client) -> None:
    claims = client.claims()
    assert client.ask_token(claims).status_code == 200
    assert client.ask_token(claims).json()["error"] == "invalid_client"


def test_an_assertion_of_another_key_is_refused(client: Client) -> None:
    assert client.ask_token(client.claims(), ec.generate_private_key(ec.SECP384R1())).json()["error"] == "invalid_client"


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"client_assertion_type": "other"}, "invalid_client"),
        ({"client_assertion": "not a token"}, "invalid_client"),
        ({"scope": "patient/Patient.read"}, "invalid_scope"),
    ],
)
def test_a_wrong_form_is_refused(client: Client, form: dict[str, str], error: str) -> None:
    assert client.ask_token(client.claims(), **form).json()["error"] == error


def test_a_fault_affects_one_request_only(emr: RehearsalEmr, client: Client) -> None:
    emr.faults.unauthorized()
    emr.faults.throttle(retry_after="7")
    emr.faults.fail(2, status=503)
    answers = [client.get("Patient") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [401, 429, 503, 503, 200]
    assert answers[1].headers["Retry-After"] == "7"
    assert emr.faults.taken == 4


def test_a_cut_connection_is_an_error_and_not_a_short_response(emr: RehearsalEmr, client: Client) -> None:
    emr.faults.succeed()
    emr.faults.cut()
    assert client.get("Patient").ok
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        client.get("Patient")
    assert client.get("Patient").ok


def test_a_broken_next_link_fails_where_it_is_followed(emr: RehearsalEmr, client: Client) -> None:
    emr.faults.break_next_links = True
    following = client.get("Patient", _count="10").json()["link"][1]
    assert following["relation"] == "next"
    assert client.get(following["url"]).status_code == 400


def test_a_stalled_response_does_not_delay_stop() -> None:
    emr = RehearsalEmr(patients=1).start()
    client = Client(emr).log_in()
    emr.faults.stall(seconds=30)
    with pytest.raises(requests.exceptions.ReadTimeout):
        client.session.get(f"{emr.base_url}/Patient", timeout=0.2)
    began = time.monotonic()
    emr.stop()
    client.session.close()
    assert time.monotonic() - began < 5


def test_stop_closes_keep_alive_connections(emr: RehearsalEmr, client: Client) -> None:
    assert client.get("metadata").ok
    emr.stop()
    with pytest.raises(requests.exceptions.ConnectionError):
        client.get("metadata")


def test_an_emr_that_was_never_started_has_no_address_and_stops_quietly() -> None:
    emr = RehearsalEmr(patients=1)
    emr.stop()
    with pytest.raises(RuntimeError, match="until it is started"):
        _ = emr.base_url


def test_an_emr_can_be_started_again() -> None:
    emr = RehearsalEmr(patients=1).start()
    emr.stop()
    with emr:
        assert requests.get(f"{emr.base_url}/metadata", timeout=5).ok
