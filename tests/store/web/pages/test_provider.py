"""Validation of a provider's discovery document. Complete sign-ins are in pages/test_openid.py."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import requests
import responses

from store.users.openid import OpenId
from store.web.pages.provider import KEPT, NO_PROVIDER, UNREACHABLE, Provider, ProviderFailed, derived
from tests.factories import NOW

ISSUER = "https://login.example/realms/staff"
WELL_KNOWN = f"{ISSUER}/.well-known/openid-configuration"
DOCUMENT = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize?tenant=1",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/keys",
    "end_session_endpoint": f"{ISSUER}/logout?tenant=1",
}


@pytest.fixture
def provider() -> Provider:
    return Provider(OpenId(ISSUER, "emr-sync", "https://here.example", (), "s3cret"))


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in DOCUMENT.items() if key != name}


@responses.activate
@pytest.mark.parametrize(
    "document",
    [
        {**DOCUMENT, "issuer": f"{ISSUER}/"},
        without("issuer"),
        without("token_endpoint"),
        {**DOCUMENT, "token_endpoint": "http://login.example/token"},
        {**DOCUMENT, "authorization_endpoint": "javascript:alert(1)"},
        {**DOCUMENT, "jwks_uri": ["https://login.example/keys"]},
        ["a list"],
        None,
    ],
)
def test_a_discovery_document_not_of_the_issuer_is_refused(provider: Provider, document: Any) -> None:
    responses.get(WELL_KNOWN, json=document)
    with pytest.raises(ProviderFailed) as failed:
        provider.begin("secret", NOW)
    assert failed.value.why == NO_PROVIDER


@responses.activate
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"status": 404}, NO_PROVIDER),
        ({"status": 302, "headers": {"location": "https://elsewhere.example"}}, NO_PROVIDER),
        ({"body": "<html>maintenance</html>"}, NO_PROVIDER),
        ({"status": 503}, UNREACHABLE),
        ({"body": requests.ConnectionError("refused")}, UNREACHABLE),
        ({"body": requests.Timeout("slow")}, UNREACHABLE),
    ],
)
def test_an_invalid_discovery_response_differs_from_no_response(provider: Provider, answer: dict[str, Any], why: str) -> None:
    responses.get(WELL_KNOWN, **answer)
    with pytest.raises(ProviderFailed) as failed:
        provider.begin("secret", NOW)
    assert failed.value.why == why
    assert provider.sign_out_url(NOW) is None


@responses.activate
def test_the_discovery_document_is_cached_for_an_hour_and_a_failed_read_retried(provider: Provider) -> None:
    responses.get(WELL_KNOWN, status=503)
    responses.get(WELL_KNOWN, json=DOCUMENT)
    with pytest.raises(ProviderFailed):
        provider.begin("secret", NOW)
    for moment in (NOW, NOW + KEPT, NOW + KEPT + timedelta(seconds=1)):
        assert provider.begin("secret", moment).startswith(f"{ISSUER}/authorize?tenant=1&response_type=code&")
    assert len(responses.calls) == 3


@responses.activate
@pytest.mark.parametrize(
    ("offered", "leads"),
    [
        (f"{ISSUER}/logout", f"{ISSUER}/logout?client_id=emr-sync&post_logout_redirect_uri=https%3A%2F%2Fhere.example%2Fsign-in"),
        (f"{ISSUER}/logout?a=1", f"{ISSUER}/logout?a=1&client_id=emr-sync&post_logout_redirect_uri=https%3A%2F%2Fhere.example%2Fsign-in"),
        ("javascript:alert(1)", None),
        ("http://login.example/logout", None),
        (None, None),
    ],
)
def test_signing_out_redirects_only_to_a_safe_url(provider: Provider, offered: str | None, leads: str | None) -> None:
    responses.get(WELL_KNOWN, json={**DOCUMENT, "end_session_endpoint": offered})
    assert provider.sign_out_url(NOW) == leads


@responses.activate
@pytest.mark.parametrize(
    ("offered", "basic"), [(None, True), (["client_secret_basic", "client_secret_post"], True), (["client_secret_post"], False)]
)
def test_the_client_secret_is_sent_by_a_supported_method(provider: Provider, offered: list[str] | None, basic: bool) -> None:
    responses.get(WELL_KNOWN, json={**DOCUMENT, "token_endpoint_auth_methods_supported": offered})
    responses.post(DOCUMENT["token_endpoint"], status=400, json={"error": "invalid_grant", "error_description": "about somebody"})
    with pytest.raises(ProviderFailed) as failed:
        provider.finish("secret", "code", NOW)
    assert "somebody" not in str(failed.value)
    requested = responses.calls[-1].request
    assert ("authorization" in requested.headers) is basic
    assert ("client_secret=s3cret" in str(requested.body)) is not basic


def test_derived_secrets_differ_by_purpose_and_do_not_reveal_the_secret() -> None:
    values = {derived("secret", purpose) for purpose in (b"state", b"nonce", b"verifier")}
    assert len(values) == 3
    assert all(len(value) == 43 and value.replace("-", "").replace("_", "").isalnum() for value in values)
