"""Proving who we are, as algorithms without I/O: each yields the requests it needs made and is sent their replies.

``smart_backend`` is HL7 SMART App Launch 2.2, Backend Services: a client assertion signed with RS384 or ES384 buys an access token.
It is bought again when it is about to expire or was refused; there is no refresh token.
"""

from __future__ import annotations

import json
import uuid
from base64 import b64encode
from collections.abc import Callable, Generator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol
from urllib.parse import urljoin, urlsplit

import jwt

from adapters.base import AdapterError

ALGORITHMS = ("RS384", "ES384")
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFE = timedelta(minutes=4)  # the standard's limit is 5; the rest is for clocks that differ
CLOCK_SKEW = timedelta(seconds=30)
MARGIN = 30.0  # seconds before its end at which a token is no longer used
DEFAULT_LIFE = 300.0  # RFC 6749 lets expires_in out; SMART recommends at most this
DEFAULT_SCOPE = "system/Patient.read"
KINDS = ("none", "smart_backend", "basic", "bearer")
# RFC 6749 5.2 and what servers add: error codes safe to repeat. Free text from a server is never repeated.
OAUTH_ERRORS = (
    "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
    "access_denied",
)  # fmt: skip
TRANSIENT = (408, 429, 500, 502, 503, 504)


class TokenRequest(NamedTuple):
    """A request that the algorithm needs made; a ``form`` is posted, without one it is a GET. No token goes with it."""

    url: str
    form: Mapping[str, str] | None = None


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
    """The same headers always: no authentication, a fixed bearer token, or a name and password."""

    def __init__(self, headers: Headers) -> None:
        self._headers = headers

    def headers(self) -> Flow:
        yield from ()  # nothing needs to be asked
        return self._headers

    def forget(self) -> bool:
        return False


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
            raise AdapterError("smart-configuration names no token_endpoint: set auth.token_url", permanent=True)
        url = urljoin(self.base_url + "/", found)
        if urlsplit(self.base_url).scheme == "https" and urlsplit(url).scheme != "https":
            raise AdapterError("smart-configuration names a token_endpoint without TLS: set auth.token_url", permanent=True)
        return url

    def _keep(self, answer: Mapping[str, Any]) -> None:
        token, life = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not token:
            raise AdapterError("the token endpoint answered without an access_token")
        try:
            seconds = float(life) if life is not None else DEFAULT_LIFE
        except (TypeError, ValueError):
            seconds = DEFAULT_LIFE
        # A very short life must leave some use: half of it then.
        self._token, self._until = token, self.clock() + timedelta(seconds=max(seconds - MARGIN, seconds / 2))
        self.scope = str(answer.get("scope") or "")


def build(base_url: str, options: Mapping[str, Any], clock: Clock) -> Auth:
    """The authentication that the settings name. Raises ``ValueError`` that says what is missing; opens nothing."""
    kind = str(options.get("kind") or "none")
    if kind == "smart_backend":
        return SmartBackend(base_url, options, clock)
    if kind == "bearer":
        return Static({"Authorization": f"Bearer {_needed(options, 'token')}"})
    if kind == "basic":
        return Static({"Authorization": "Basic " + _basic(_needed(options, "username"), _needed(options, "password"))})
    if kind == "none":
        return Static({})
    raise ValueError(f"auth.kind is {kind!r}: use one of {', '.join(KINDS)}")


def _answer(reply: TokenReply, who: str) -> dict[str, Any]:
    """The JSON of a good reply. What was refused for good stops the source; the rest may be tried again."""
    try:
        answer = json.loads(reply.body)
    except ValueError:
        answer = None
    error = answer.get("error") if isinstance(answer, dict) else None
    if 200 <= reply.status < 300:
        if not isinstance(answer, dict):
            raise AdapterError(f"{who} did not answer with JSON")
        return answer
    named = error if error in OAUTH_ERRORS else "no known error code"
    # Epic answers a bare 400 now and then; only an OAuth error code says that it is meant.
    permanent = reply.status not in TRANSIENT and (reply.status != 400 or error in OAUTH_ERRORS)
    raise AdapterError(f"{who} answered {reply.status} ({named})", permanent=permanent, retry_after=reply.retry_after)


def _basic(username: str, password: str) -> str:

    return b64encode(f"{username}:{password}".encode()).decode()


def _needed(options: Mapping[str, Any], name: str) -> str:
    value = options.get(name)
    if not value:
        raise ValueError(f"auth.{name} is missing: auth.kind {options.get('kind')} needs it")
    return str(value)
