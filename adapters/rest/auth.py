"""Proving who we are to a JSON API, as algorithms without I/O: each yields the requests it needs made and is sent their replies.

``oauth2`` is RFC 6749: the client's id and secret (section 4.4), or a refresh token (section 6), buy an access token. The client proves
itself in the Authorization header (section 2.3.1), or in the form where the API wants it there.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from adapters.base import AdapterError
from adapters.http.auth import MARGIN, Auth, Clock, Flow, Headers, Static, TokenReply, TokenRequest, fits_a_header, life
from adapters.http.retry import TRANSIENT

KINDS = ("none", "bearer", "basic", "oauth2")


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
            raise AdapterError(f"the token endpoint returned {reply.status}", retry_after=reply.retry_after)
        token = _token(reply.body) if 200 <= reply.status < 300 else {}
        if not isinstance(token.get("access_token"), str):
            message = (
                f"the token endpoint granted no token (status {reply.status}): check token_url, client_id, client_secret and scope in auth"
            )
            raise AdapterError(message, permanent=True)
        if not fits_a_header(token["access_token"]):
            raise AdapterError("the token endpoint returned an access_token that is not valid in a header (RFC 6750: visible ASCII)")
        self._token = token["access_token"]
        self._refresh = str(token.get("refresh_token") or self._refresh)
        seconds = life(token.get("expires_in"))
        # A very short life must leave some use: half of it then.
        self._until = self._clock().timestamp() + max(seconds - MARGIN, seconds / 2)


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
        if not fits_a_header(str(options["token"])):
            raise ValueError("auth.token contains characters that are not valid in a header: use visible ASCII without spaces")
        return Static({"Authorization": f"Bearer {options['token']}"})
    return Static(_basic(str(options["username"]), str(options["password"])) if kind == "basic" else {})


def _basic(name: str, secret: str) -> Headers:
    return {"Authorization": f"Basic {b64encode(f'{name}:{secret}'.encode()).decode()}"}


def _token(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return answer if type(answer) is dict else {}
