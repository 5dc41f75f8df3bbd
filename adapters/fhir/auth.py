"""Proving who we are, as algorithms without I/O: each yields the requests it needs made and is sent their replies.

``smart_backend`` is HL7 SMART App Launch 2.2, Backend Services: a client assertion signed with RS384 or ES384 buys an access token.
It is bought again when it is about to expire or was refused; there is no refresh token.
"""

from __future__ import annotations

import json
import uuid
from base64 import b64encode
from collections.abc import Generator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urljoin, urlsplit

from adapters.base import AdapterError
from adapters.http import unexpected
from adapters.http.auth import MARGIN, Auth, Clock, Flow, Static, TokenReply, TokenRequest, fits_a_header, life
from adapters.http.retry import TRANSIENT

ALGORITHMS = ("RS384", "ES384")
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFE = timedelta(minutes=4)  # the standard's limit is 5; the rest is for clocks that differ
CLOCK_SKEW = timedelta(seconds=30)
DEFAULT_SCOPE = "system/Patient.read"
KINDS = ("none", "smart_backend", "basic", "bearer")
# RFC 6749 5.2 and what servers add: error codes safe to repeat. Free text from a server is never repeated.
OAUTH_ERRORS = (
    "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
    "access_denied",
)  # fmt: skip


class SmartBackend:
    """Backend Services of one client at one server. ``scope`` is what the server granted last, which may be less than asked."""

    def __init__(self, base_url: str, options: Mapping[str, Any], clock: Clock) -> None:
        self.base_url, self.clock = base_url, clock
        self.client_id, self.key = _needed(options, "client_id"), _needed(options, "private_key")
        self.algorithm = str(options.get("alg") or ALGORITHMS[0])
        if self.algorithm not in ALGORITHMS:
            raise ValueError(f"auth.alg is {self.algorithm!r}: use one of {', '.join(ALGORITHMS)}")
        self.key_headers = {name: str(options[name]) for name in ("kid", "jku") if options.get(name)}
        self.asked_scope = str(options.get("scope") or DEFAULT_SCOPE)
        self.scope = ""
        self._token_url = str(options.get("token_url") or "")
        self._token, self._until = "", clock()

    def headers(self) -> Flow:
        if not self._token or self.clock() >= self._until:
            self._keep((yield from self._buy()))
        return {"Authorization": f"Bearer {self._token}"}

    def forget(self) -> bool:
        self._token = ""
        return True

    def assertion(self, token_url: str) -> str:
        """A signed client assertion, good once and for a few minutes. Raises :class:`AdapterError` when the key cannot sign."""
        import jwt

        now = self.clock()
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": token_url,
            "jti": uuid.uuid4().hex,
            "iat": int((now - CLOCK_SKEW).timestamp()),
            "exp": int((now + ASSERTION_LIFE).timestamp()),
        }
        try:
            return jwt.encode(claims, self.key, algorithm=self.algorithm, headers=self.key_headers)
        except (jwt.PyJWTError, ValueError, TypeError):
            message = f"auth.private_key cannot sign with {self.algorithm}: give a PEM key of that kind (RS384: RSA, ES384: P-384)"
            raise AdapterError(message, permanent=True) from None

    def _buy(self) -> Generator[TokenRequest, TokenReply, dict[str, Any]]:
        if not self._token_url:
            self._token_url = yield from self._discover()
        form = {
            "grant_type": "client_credentials",
            "scope": self.asked_scope,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.assertion(self._token_url),
        }
        return _answer((yield TokenRequest(self._token_url, form)), "the token endpoint")

    def _discover(self) -> Generator[TokenRequest, TokenReply, str]:
        answer = _answer((yield TokenRequest(f"{self.base_url}/.well-known/smart-configuration")), "smart-configuration")
        found = answer.get("token_endpoint")
        if not isinstance(found, str) or not found:
            raise AdapterError("smart-configuration has no token_endpoint: set auth.token_url", permanent=True)
        url = urljoin(self.base_url + "/", found)
        if urlsplit(self.base_url).scheme == "https" and urlsplit(url).scheme != "https":
            raise AdapterError("the token_endpoint in smart-configuration does not use TLS: set auth.token_url", permanent=True)
        return url

    def _keep(self, answer: Mapping[str, Any]) -> None:
        token = answer.get("access_token")
        if not isinstance(token, str) or not token:
            raise AdapterError("the token endpoint returned no access_token")
        if not fits_a_header(token):
            raise AdapterError("the token endpoint returned an access_token that is not valid in a header (RFC 6750: visible ASCII)")
        seconds = life(answer.get("expires_in"))
        # A very short life must leave some use: half of it then.
        self._token, self._until = token, self.clock() + timedelta(seconds=max(seconds - MARGIN, seconds / 2))
        self.scope = str(answer.get("scope") or "")


def build(base_url: str, options: Mapping[str, Any], clock: Clock) -> Auth:
    """The authentication that the settings name. Raises ``ValueError`` that says what is missing; opens nothing."""
    kind = str(options.get("kind") or "none")
    if kind == "smart_backend":
        return SmartBackend(base_url, options, clock)
    if kind == "bearer":
        return Static({"Authorization": f"Bearer {_sendable(_needed(options, 'token'))}"})
    if kind == "basic":
        return Static({"Authorization": "Basic " + _basic(_needed(options, "username"), _needed(options, "password"))})
    if kind == "none":
        return Static({})
    raise ValueError(f"auth.kind is {kind!r}: use one of {', '.join(KINDS)}")


def _answer(reply: TokenReply, who: str) -> dict[str, Any]:
    """The JSON of a good reply. What was refused for good stops the source; the rest may be tried again."""
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        answer = None
    error = answer.get("error") if isinstance(answer, dict) else None
    if 200 <= reply.status < 300:
        if not isinstance(answer, dict):
            raise AdapterError(f"{who} returned {unexpected.described(reply.body)} instead of a JSON object")
        return answer
    named = error if error in OAUTH_ERRORS else "no known error code"
    # Epic answers a bare 400 now and then; only an OAuth error code says that it is meant.
    permanent = reply.status not in TRANSIENT and (reply.status != 400 or error in OAUTH_ERRORS)
    raise AdapterError(f"{who} returned {reply.status} ({named})", permanent=permanent, retry_after=reply.retry_after)


def _sendable(token: str) -> str:
    if not fits_a_header(token):
        raise ValueError("auth.token contains characters that are not valid in a header: use visible ASCII without spaces")
    return token


def _basic(username: str, password: str) -> str:

    return b64encode(f"{username}:{password}".encode()).decode()


def _needed(options: Mapping[str, Any], name: str) -> str:
    value = options.get(name)
    if not value:
        raise ValueError(f"auth.{name} is missing: auth.kind {options.get('kind')} needs it")
    return str(value)
