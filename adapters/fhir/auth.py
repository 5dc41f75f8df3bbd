"""SMART App Launch 2.2, Backend Services (``smart_backend``): an access token for a client assertion signed with RS384 or ES384.

A new one is requested when it is about to expire or was refused; there is no refresh token.
"""

from __future__ import annotations

import uuid
from collections.abc import Generator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urljoin, urlsplit

from adapters.base import AdapterError
from adapters.http import auth, unexpected
from adapters.http.auth import AccessToken, Auth, Clock, TokenFlow, TokenReply, TokenRequest, required

ALGORITHMS = ("RS384", "ES384")
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFE = timedelta(minutes=4)  # the standard's limit is 5; the rest is for clocks that differ
CLOCK_SKEW = timedelta(seconds=30)
DEFAULT_SCOPE = "system/Patient.read"
# RFC 6749 5.2 and what servers add: error codes that are safe to show. Free text from a server is never shown.
OAUTH_ERRORS = (
    "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
    "access_denied",
)  # fmt: skip


class SmartBackend(AccessToken):
    """Backend Services for one client at one server. ``scope``: what the server granted last, which may be less than requested."""

    def __init__(self, base_url: str, options: Mapping[str, Any], clock: Clock) -> None:
        super().__init__(clock)
        self.base_url = base_url
        self.client_id, self.key = required(options, "client_id"), required(options, "private_key")
        self.algorithm = str(options.get("alg") or ALGORITHMS[0])
        if self.algorithm not in ALGORITHMS:
            raise ValueError(f"auth.alg is {self.algorithm!r}: use one of {', '.join(ALGORITHMS)}")
        self.key_headers = {name: str(options[name]) for name in ("kid", "jku") if options.get(name)}
        self.asked_scope = str(options.get("scope") or DEFAULT_SCOPE)
        self.scope = ""
        self._token_url = str(options.get("token_url") or "")

    def request_token(self) -> TokenFlow:
        if not self._token_url:
            self._token_url = yield from self._discover()
        form = {
            "grant_type": "client_credentials",
            "scope": self.asked_scope,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.assertion(self._token_url),
        }
        answer = _answer((yield TokenRequest(self._token_url, form)), auth.TOKEN_ENDPOINT)
        self.scope = str(answer.get("scope") or "")
        return answer

    def assertion(self, token_url: str) -> str:
        """A signed client assertion, valid once and for a few minutes. Raises :class:`AdapterError` if the key cannot sign."""
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

    def _discover(self) -> Generator[TokenRequest, TokenReply, str]:
        answer = _answer((yield TokenRequest(f"{self.base_url}/.well-known/smart-configuration")), "smart-configuration")
        found = answer.get("token_endpoint")
        if not isinstance(found, str) or not found:
            raise AdapterError("smart-configuration has no token_endpoint: set auth.token_url", permanent=True)
        url = urljoin(self.base_url + "/", found)
        if urlsplit(self.base_url).scheme == "https" and urlsplit(url).scheme != "https":
            raise AdapterError("the token_endpoint in smart-configuration does not use TLS: set auth.token_url", permanent=True)
        return url


def build(base_url: str, options: Mapping[str, Any], clock: Clock) -> Auth:
    """The authentication for the settings in ``auth``. Raises ``ValueError`` that says what is missing."""
    return auth.build(options, {"smart_backend": lambda: SmartBackend(base_url, options, clock)})


def _answer(reply: TokenReply, peer: str) -> dict[str, Any]:
    """The JSON of a good reply. A permanent refusal stops the source; other errors may be retried."""
    answer = reply.json()
    if reply.is_good:
        if answer is None:
            raise AdapterError(f"{peer} returned {unexpected.described(reply.body)} instead of a JSON object")
        return answer
    error = (answer or {}).get("error")
    named = error if error in OAUTH_ERRORS else "no known error code"
    # Epic sometimes returns a bare 400; only one with an OAuth error code is permanent.
    raise AdapterError(f"{peer} returned {reply.status} ({named})", permanent=reply.status != 400 or error in OAUTH_ERRORS)
