"""OAuth 2.0 as an algorithm: what is asked, when it is asked again, what a refusal tells."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.base import AdapterError
from adapters.http.auth import Auth, TokenReply, TokenRequest
from adapters.rest.auth import build

START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
OPTIONS = {"kind": "oauth2", "token_url": "https://ehr.example/token", "client_id": "us", "client_secret": "s3cret"}


def bought(auth: Auth, reply: Callable[[], TokenReply]) -> tuple[dict[str, str], list[TokenRequest]]:
    """The headers that the flow ends in, and what it asked for."""
    flow, asked = auth.headers(), []
    try:
        wanted = next(flow)
        while True:
            asked.append(wanted)
            wanted = flow.send(reply())
    except StopIteration as end:
        return end.value, asked


def token(**others: Any) -> TokenReply:
    return TokenReply(200, json.dumps({"access_token": "t1", "expires_in": 600} | others).encode())


def test_the_client_proves_itself_in_the_header() -> None:
    headers, (asked,) = bought(build(OPTIONS | {"scope": "patients"}, lambda: START), token)
    assert headers == {"Authorization": "Bearer t1"}
    assert asked.form == {"grant_type": "client_credentials", "scope": "patients"}
    assert asked.headers == {"Authorization": f"Basic {b64encode(b'us:s3cret').decode()}"}


def test_the_client_proves_itself_in_the_form_where_the_api_wants_it() -> None:
    _, (asked,) = bought(build(OPTIONS | {"client_in": "form"}, lambda: START), token)
    assert asked.form == {"grant_type": "client_credentials", "client_id": "us", "client_secret": "s3cret"}
    assert asked.headers == {}


def test_a_refresh_token_is_used_and_replaced_when_the_server_gives_another() -> None:
    auth = build(OPTIONS | {"refresh_token": "r1"}, lambda: START)
    _, (first,) = bought(auth, lambda: token(refresh_token="r2"))
    assert auth.forget()
    _, (second,) = bought(auth, token)
    assert [first.form["refresh_token"], second.form["refresh_token"]] == ["r1", "r2"]


def test_a_token_is_kept_until_shortly_before_its_end() -> None:
    now = START
    auth = build(OPTIONS, lambda: now)
    assert [len(bought(auth, token)[1]), len(bought(auth, token)[1])] == [1, 0]
    now = START + timedelta(seconds=580)
    assert len(bought(auth, token)[1]) == 1


@pytest.mark.parametrize(
    ("life", "good"),
    [
        (40, 20),
        (None, 270),
        ("60", 30),
        ("soon", 270),
        (True, 270),
        (float("nan"), 270),
        (float("inf"), 86_370),
        ("Infinity", 86_370),
        (10**400, 270),
    ],
)
def test_short_missing_or_odd_lives_are_understood(life: Any, good: int) -> None:
    now = START
    auth = build(OPTIONS, lambda: now)
    bought(auth, lambda: token(expires_in=life))
    now = START + timedelta(seconds=good - 1)
    assert bought(auth, token)[1] == []
    now = START + timedelta(seconds=good + 1)
    assert len(bought(auth, token)[1]) == 1


@pytest.mark.parametrize("life", [0, -7])
def test_a_token_that_is_over_at_once_serves_one_request(life: float) -> None:
    auth = build(OPTIONS, lambda: START)
    assert bought(auth, lambda: token(expires_in=life))[0] == {"Authorization": "Bearer t1"}
    assert len(bought(auth, token)[1]) == 1


@pytest.mark.parametrize("odd", ["t\u00f6ken", "\U0001f511", "a b", "a\r\nX-Other: 1"])
def test_a_token_that_no_header_can_carry_is_an_error_that_does_not_quote_it(odd: str) -> None:
    with pytest.raises(AdapterError, match="not valid in a header") as error:
        bought(build(OPTIONS, lambda: START), lambda: token(access_token=odd))
    assert odd not in str(error.value)
    with pytest.raises(ValueError, match=r"auth\.token"):
        build({"kind": "bearer", "token": odd}, lambda: START)


def test_a_token_that_was_refused_is_bought_again_once() -> None:
    auth = build(OPTIONS, lambda: START)
    bought(auth, token)
    assert auth.forget()
    assert len(bought(auth, token)[1]) == 1


@pytest.mark.parametrize("reply", [TokenReply(401, b"{}"), TokenReply(200, b"<html>"), TokenReply(200, b"[]"), TokenReply(200, b"{}")])
def test_no_token_stops_the_source_and_tells_no_secret(reply: TokenReply) -> None:
    with pytest.raises(AdapterError, match="granted no token") as error:
        bought(build(OPTIONS, lambda: START), lambda: reply)
    assert error.value.permanent
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "headers"),
    [
        ({}, {}),
        ({"kind": "none"}, {}),
        ({"kind": "bearer", "token": "t"}, {"Authorization": "Bearer t"}),
        ({"kind": "basic", "username": "a", "password": "b"}, {"Authorization": "Basic YTpi"}),
    ],
)
def test_other_kinds_need_nothing_asked(options: dict[str, str], headers: dict[str, str]) -> None:
    auth = build(options, lambda: START)
    assert bought(auth, token) == (headers, [])
    assert not auth.forget()
