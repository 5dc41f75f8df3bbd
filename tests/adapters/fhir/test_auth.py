from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from adapters.base import AdapterError
from adapters.fhir.auth import SmartBackend, build
from adapters.http.auth import Auth, TokenReply, TokenRequest

BASE = "https://ehr.example/r4"
TOKEN = "https://login.example/token"
KEYS = {"RS384": rsa.generate_private_key(65537, 2048), "ES384": ec.generate_private_key(ec.SECP384R1())}


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def pem(algorithm: str = "ES384") -> str:
    return KEYS[algorithm].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def backend(clock: Clock | None = None, **options: Any) -> SmartBackend:
    values = {"kind": "smart_backend", "client_id": "us", "private_key": pem(), "alg": "ES384", "token_url": TOKEN, **options}
    made = build(BASE, {name: value for name, value in values.items() if value is not None}, clock or Clock())
    assert isinstance(made, SmartBackend)
    return made


def run(auth: Auth, *replies: TokenReply) -> tuple[dict[str, str], list[TokenRequest]]:
    """The headers, and the requests that were asked for; each gets the next reply."""
    flow, asked, waiting = auth.headers(), [], list(replies)
    try:
        asked.append(next(flow))
        while True:
            asked.append(flow.send(waiting.pop(0)))
    except StopIteration as end:
        return end.value, asked


def reply(status: int = 200, **answer: Any) -> TokenReply:
    return TokenReply(status, json.dumps(answer).encode())


def granted(life: Any = 300, token: str = "t1") -> TokenReply:
    return reply(access_token=token, token_type="bearer", expires_in=life, scope="system/Patient.read")


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_assertion_is_what_backend_services_ask_for(algorithm: str) -> None:
    clock = Clock()
    auth = backend(clock, alg=algorithm, private_key=pem(algorithm), kid="k1")
    headers, (asked,) = run(auth, granted())
    assert headers == {"Authorization": "Bearer t1"}
    form: Mapping[str, str] = asked.form or {}
    assert asked.url == TOKEN
    assert (form["grant_type"], form["scope"]) == ("client_credentials", "system/Patient.read")
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    claims = jwt.decode(
        form["client_assertion"],
        KEYS[algorithm].public_key(),
        [algorithm],
        audience=TOKEN,
        options={"verify_exp": False, "verify_iat": False},
    )
    assert claims["iss"] == claims["sub"] == "us"
    assert clock.now < datetime.fromtimestamp(claims["exp"], UTC) <= clock.now + timedelta(minutes=5)
    assert datetime.fromtimestamp(claims["iat"], UTC) <= clock.now
    assert jwt.get_unverified_header(form["client_assertion"]) == {"alg": algorithm, "typ": "JWT", "kid": "k1"}


def test_each_assertion_is_used_once() -> None:
    auth = backend()
    made = {jwt.decode(auth.assertion(TOKEN), options={"verify_signature": False})["jti"] for _ in range(20)}
    assert len(made) == 20


def test_token_is_kept_until_shortly_before_it_expires() -> None:
    clock = Clock()
    auth = backend(clock)
    run(auth, granted(300))
    clock.now += timedelta(seconds=269)
    assert run(auth) == ({"Authorization": "Bearer t1"}, [])
    clock.now += timedelta(seconds=2)
    assert run(auth, granted(token="t2"))[0] == {"Authorization": "Bearer t2"}


@pytest.mark.parametrize(
    ("life", "good"),
    [
        (40, 20),
        (None, 270),
        ("60", 30),
        ("soon", 270),
        (True, 270),
        ([], 270),
        (float("nan"), 270),
        ("NaN", 270),
        (float("inf"), 86_370),
        ("Infinity", 86_370),
        (10**400, 270),
        (1e300, 86_370),
        ("9" * 5_000, 86_370),
    ],
)
def test_short_missing_or_odd_lives_are_understood(life: Any, good: int) -> None:
    clock = Clock()
    auth = backend(clock)
    run(auth, granted(life))
    clock.now += timedelta(seconds=good - 1)
    assert not run(auth)[1]
    clock.now += timedelta(seconds=2)
    assert run(auth, granted())[1]


@pytest.mark.parametrize("life", [0, -1, float("-inf")])
def test_a_token_that_is_over_at_once_serves_one_request(life: float) -> None:
    clock = Clock()
    auth = backend(clock)
    assert run(auth, granted(life))[0] == {"Authorization": "Bearer t1"}
    assert run(auth, granted(life, "t2"))[0] == {"Authorization": "Bearer t2"}


@pytest.mark.parametrize("token", ["t\u00f6ken", "to\u2028ken", "\U0001f511", "a b", "a\r\nX-Other: 1", "\x00"])
def test_a_token_that_no_header_can_carry_is_an_error_that_does_not_quote_it(token: str) -> None:
    with pytest.raises(AdapterError, match="not valid in a header") as error:
        run(backend(), granted(token=token))
    assert not error.value.permanent
    assert token not in str(error.value)
    with pytest.raises(ValueError, match=r"auth\.token"):
        build(BASE, {"kind": "bearer", "token": token}, Clock())


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"<html>secret</html>", "an HTML page"),
        (b"<?xml version='1.0'?><a/>", "XML"),
        (b"[]", "JSON of unexpected structure"),
        (b"", "an empty response"),
        (b"[" * 100_000, "truncated or invalid JSON"),
        (b'{"expires_in": ' + b"9" * 5_000 + b"}", "truncated or invalid JSON"),
    ],
)
def test_a_token_endpoint_that_answers_with_something_else_is_told_by_what_it_is(body: bytes, told: str) -> None:
    with pytest.raises(AdapterError, match=f"returned {told} instead of a JSON object"):
        run(backend(), TokenReply(200, body))


def test_forgotten_token_is_bought_again() -> None:
    auth = backend()
    run(auth, granted())
    assert auth.forget()
    assert run(auth, granted(token="t2"))[0] == {"Authorization": "Bearer t2"}


def test_token_endpoint_is_discovered_where_it_is_not_configured() -> None:
    auth = backend(token_url=None)
    _, (discovery, purchase) = run(auth, reply(token_endpoint=TOKEN), granted())
    assert discovery == TokenRequest(f"{BASE}/.well-known/smart-configuration")
    assert purchase.url == TOKEN
    auth.forget()
    assert len(run(auth, granted())[1]) == 1


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (reply(capabilities=[]), "token_endpoint"),
        (reply(token_endpoint="http://login.example/token"), "TLS"),
        (reply(404), "404"),
        (reply(token_endpoint=7), "token_endpoint"),
    ],
)
def test_discovery_that_leads_nowhere_stops_the_source(answer: TokenReply, named: str) -> None:
    with pytest.raises(AdapterError, match=named) as error:
        run(backend(token_url=None), answer)
    assert error.value.permanent


@pytest.mark.parametrize(
    ("answer", "permanent"),
    [
        (reply(400, error="invalid_client", error_description="secret details"), True),
        (reply(401, error="invalid_client"), True),
        (reply(403), True),
        (reply(400), False),
        (TokenReply(400, b"<html>"), False),
        (TokenReply(200, b"<html>"), False),
        (reply(200, token_type="bearer"), False),
    ],
)
def test_refusals_stop_and_hiccups_are_tried_again(answer: TokenReply, permanent: bool) -> None:
    with pytest.raises(AdapterError) as error:
        run(backend(), answer)
    assert error.value.permanent is permanent
    assert "secret details" not in str(error.value)


@pytest.mark.parametrize("key", ["no key at all", pem("RS384")])
def test_key_that_cannot_sign_stops_the_source_and_is_not_shown(key: str) -> None:
    with pytest.raises(AdapterError, match="private_key cannot sign with ES384") as error:
        run(backend(private_key=key), granted())
    assert error.value.permanent
    assert key not in str(error.value)


@pytest.mark.parametrize(
    ("options", "headers"),
    [
        ({}, {}),
        ({"kind": "none"}, {}),
        ({"kind": "bearer", "token": "abc"}, {"Authorization": "Bearer abc"}),
        ({"kind": "basic", "username": "us", "password": "p:w"}, {"Authorization": "Basic dXM6cDp3"}),
    ],
)
def test_fixed_credentials_are_sent_as_they_are(options: dict[str, str], headers: dict[str, str]) -> None:
    auth = build(BASE, options, Clock())
    assert run(auth) == (headers, [])
    assert not auth.forget()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"kind": "magic"}, "auth.kind"),
        ({"kind": "bearer"}, "auth.token"),
        ({"kind": "basic", "username": "us"}, "auth.password"),
        ({"kind": "smart_backend", "private_key": "x"}, "auth.client_id"),
        ({"kind": "smart_backend", "client_id": "us"}, "auth.private_key"),
        ({"kind": "smart_backend", "client_id": "us", "private_key": "x", "alg": "HS256"}, "auth.alg"),
    ],
)
def test_missing_setting_is_named(options: dict[str, str], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        build(BASE, options, Clock())
