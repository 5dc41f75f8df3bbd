"""Who could not be reached, and why, in words: a name that does not resolve is not a server that is down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.base import AdapterError
from adapters.fhir import auth as fhir_auth
from adapters.fhir.client import FhirClient
from adapters.rest import auth as rest_auth
from adapters.rest.client import JsonClient
from tests.adapters.fhir.test_auth import pem

NOBODY = "http://127.0.0.1:1"
NOWHERE = "https://emr.invalid"  # RFC 6761: never resolves
OAUTH = {"kind": "oauth2", "client_id": "us", "client_secret": "secret"}
SMART = {"kind": "smart_backend", "client_id": "us", "alg": "ES384"}


def now() -> datetime:
    return datetime(2026, 11, 2, tzinfo=UTC)


def asking_fhir(base: str, **auth: Any) -> None:
    FhirClient(base, fhir_auth.build(base, auth, now), clock=now, sleep=lambda seconds: None).get("metadata")


def asking_json(base: str, **auth: Any) -> None:
    JsonClient(base, rest_auth.build(auth, now), clock=now, sleep=lambda seconds: None).get("patients")


@pytest.mark.parametrize(
    ("ask", "base", "auth", "told"),
    [
        (asking_fhir, NOBODY, {}, "the server could not be reached (ConnectionError)"),
        (asking_json, NOBODY, {}, "the server could not be reached (ConnectionError)"),
        (asking_fhir, NOWHERE, {}, "the name of the server cannot be resolved: check its address and this machine's DNS"),
        (asking_json, NOWHERE, {}, "the name of the server cannot be resolved: check its address and this machine's DNS"),
        (asking_fhir, NOWHERE, {**SMART, "token_url": f"{NOBODY}/token"}, "the token endpoint could not be reached (ConnectionError)"),
        (asking_json, NOWHERE, {**OAUTH, "token_url": f"{NOBODY}/token"}, "the token endpoint could not be reached (ConnectionError)"),
        (asking_json, NOBODY, {**OAUTH, "token_url": f"{NOWHERE}/token"}, "the name of the token endpoint cannot be resolved"),
    ],
)
def test_an_error_says_who_did_not_answer_and_quotes_no_address(
    ask: Callable[..., None], base: str, auth: Mapping[str, str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    key = {"private_key": pem()} if auth.get("kind") == "smart_backend" else {}
    with pytest.raises(AdapterError) as raised:
        ask(base, **auth, **key)
    assert str(raised.value).startswith(told)
    assert "invalid" not in str(raised.value)
    assert "127.0.0.1" not in str(raised.value)
