"""Proving who we are to a JSON API, as algorithms without I/O: each yields the requests it needs made and is sent their replies.

``oauth2`` is RFC 6749: the client's id and secret (section 4.4), or a refresh token (section 6), buy an access token. The client proves
itself in the Authorization header (section 2.3.1), or in the form where the API wants it there.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Generator, Mapping
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from adapters.base import AdapterError

KINDS = ("none", "bearer", "basic", "oauth2")
MARGIN = 30.0  # seconds before its end at which a token is no longer used
DEFAULT_LIFE = 300.0  # RFC 6749 lets expires_in out
TRANSIENT = (408, 429, 500, 502, 503, 504)


class TokenRequest(NamedTuple):
    """A form to be posted, with its own headers. No token goes with it."""

    url: str
    form: Mapping[str, str]
    headers: Mapping[str, str]


class TokenReply(NamedTuple):
    status: int
    body: bytes
    retry_after: float | None = None


Headers = dict[str, str]
Flow = Generator[TokenRequest, TokenReply, Headers]
Clock = Callable[[], datetime]


class Auth(Protocol):
    """``headers`` is the flow that ends in the headers to send; ``forget`` drops what was refused and says whether to try again."""

    def headers(self) -> Flow: ...

    def forget(self) -> bool: ...


class Static:
    """The same headers always."""

    def __init__(self, headers: Headers) -> None:
        self._headers = headers

    def headers(self) -> Flow:
        yield from ()  # nothing needs to be asked
        return self._headers

    def forget(self) -> bool:
        return False


class OAuth2:
    """An access token of one client, bought again when it is about to expire or was refused."""

    def __init__(self, options: Mapping[str, Any], clock: Clock) -> None:
        missing = [name for name in ("token_url", "client_id", "client_secret") if not options.get(name)]
        if missing:
            raise ValueError(f"auth.{missing[0]} is missing: auth.kind oauth2 needs token_url, client_id and client_secret")
        self._url, self._clock = str(options["token_url"]), clock
        self._client = (str(options["client_id"]), str(options["client_secret"]))
        self._in_form = str(options.get("client_in") or "header") == "form"
        self._scope = str(options.get("scope") or "")
        self._refresh = str(options.get("refresh_token") or "")
        self._token, self._until = "", 0.0

    def headers(self) -> Flow:
        if not self._token or self._clock().timestamp() >= self._until:
            self._keep((yield self._request()))
        return {"Authorization": f"Bearer {self._token}"}

    def forget(self) -> bool:
        had, self._token = bool(self._token), ""
        return had

    def _request(self) -> TokenRequest:
        form = {"grant_type": "refresh_token", "refresh_token": self._refresh} if self._refresh else {"grant_type": "client_credentials"}
        form |= {"scope": self._scope} if self._scope else {}
        if self._in_form:
            return TokenRequest(self._url, form | {"client_id": self._client[0], "client_secret": self._client[1]}, {})
        return TokenRequest(self._url, form, _basic(*self._client))

    def _keep(self, reply: TokenReply) -> None:
        if reply.status in TRANSIENT:
            raise AdapterError(f"the token endpoint answers {reply.status}", retry_after=reply.retry_after)
        token = _token(reply.body) if 200 <= reply.status < 300 else {}
        if not isinstance(token.get("access_token"), str):
            message = (
                f"the token endpoint gives no token (status {reply.status}): look at auth's token_url, client_id, client_secret and scope"
            )
            raise AdapterError(message, permanent=True)
        life = token.get("expires_in")
        self._token = token["access_token"]
        self._refresh = str(token.get("refresh_token") or self._refresh)
        self._until = self._clock().timestamp() + (float(life) if isinstance(life, (int, float)) else DEFAULT_LIFE) - MARGIN


def build(options: Mapping[str, Any], clock: Clock) -> Auth:
    """The algorithm that ``auth`` asks for. Raises ``ValueError`` for what it misses."""
    kind = str(options.get("kind") or "none")
    if kind not in KINDS:
        raise ValueError(f"auth.kind is {kind!r}: use one of {', '.join(KINDS)}")
    if kind == "oauth2":
        return OAuth2(options, clock)
    needed = {"bearer": ("token",), "basic": ("username", "password")}.get(kind, ())
    missing = next((name for name in needed if not options.get(name)), None)
    if missing is not None:
        raise ValueError(f"auth.{missing} is missing: auth.kind {kind} needs {' and '.join(needed)}")
    if kind == "bearer":
        return Static({"Authorization": f"Bearer {options['token']}"})
    return Static(_basic(str(options["username"]), str(options["password"])) if kind == "basic" else {})


def _basic(name: str, secret: str) -> Headers:
    return {"Authorization": f"Basic {b64encode(f'{name}:{secret}'.encode()).decode()}"}


def _token(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if type(answer) is dict else {}
