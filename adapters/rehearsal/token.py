"""The authorization server of the rehearsal EMR: SMART Backend Services with strict checks.

Source: HL7 SMART App Launch 2.2, "Backend Services" and "Client Authentication: Asymmetric". The assertion is signed with RS384 or ES384,
its issuer and subject are the client, its audience is the token endpoint, it expires within five minutes, and it is used once.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.types import Options

from adapters.rehearsal.chart import Clock

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = ("RS384", "ES384")
LONGEST_ASSERTION = timedelta(minutes=5)
SKEW = timedelta(seconds=60)


class TokenRefused(Exception):
    """``code`` is the OAuth 2 error code (RFC 6749, section 5.2)."""

    def __init__(self, code: str, description: str) -> None:
        self.code = code
        super().__init__(description)


class ClientKey:
    """The key pair of the only registered client, created at start. ``private_pem`` is the client's secret."""

    def __init__(self, algorithm: str) -> None:
        if algorithm not in ALGORITHMS:
            raise ValueError(f"algorithm is {algorithm!r}: use one of {', '.join(ALGORITHMS)}")
        key = rsa.generate_private_key(65537, 2048) if algorithm == "RS384" else ec.generate_private_key(ec.SECP384R1())
        self.algorithm, self.public = algorithm, key.public_key()
        self.private_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


class TokenDesk:
    """Verifies client assertions, and issues and checks access tokens."""

    def __init__(self, client_id: str, key: ClientKey, clock: Clock, *, lifetime: timedelta = timedelta(minutes=5)) -> None:
        self.client_id, self.key, self.clock, self.lifetime = client_id, key, clock, lifetime
        self.issued = 0
        self._lock = Lock()
        self._tokens: dict[str, datetime] = {}
        self._seen: dict[str, datetime] = {}

    def issue(self, form: Mapping[str, str], token_url: str) -> dict[str, Any]:
        """The token response. Raises :class:`TokenRefused`."""
        if form.get("grant_type") != "client_credentials":
            raise TokenRefused("unsupported_grant_type", "grant_type must be client_credentials")
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise TokenRefused("invalid_client", "client_assertion_type must be jwt-bearer")
        if not any(scope.startswith("system/") for scope in form.get("scope", "").split()):
            raise TokenRefused("invalid_scope", "request a system scope, such as system/Patient.rs")
        self._accept_once(self._verified(form.get("client_assertion", ""), token_url))
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._forget_old()
            self._tokens[token] = self.clock() + self.lifetime
            self.issued += 1
        seconds = int(self.lifetime.total_seconds())
        return {"access_token": token, "token_type": "bearer", "expires_in": seconds, "scope": form["scope"]}

    def is_valid(self, authorization: str | None) -> bool:
        """Whether an Authorization header contains a valid token."""
        scheme, _, token = (authorization or "").partition(" ")
        until = self._tokens.get(token) if scheme.casefold() == "bearer" else None
        return until is not None and self.clock() < until

    def _verified(self, assertion: str, token_url: str) -> dict[str, Any]:
        required: Options = {"require": ["iss", "sub", "aud", "exp", "jti"], "verify_exp": False, "verify_nbf": False, "verify_iat": False}
        try:
            # PyJWT compares times with the system clock. Here the EMR's own clock is used (see _accept_once).
            claims: dict[str, Any] = jwt.decode(
                assertion,
                key=self.key.public,
                algorithms=[self.key.algorithm],
                audience=token_url,
                issuer=self.client_id,
                options=required,
            )
        except jwt.PyJWTError as error:
            raise TokenRefused("invalid_client", f"assertion refused: {type(error).__name__}") from error
        if claims["sub"] != self.client_id:
            raise TokenRefused("invalid_client", "sub must be the client")
        return claims

    def _accept_once(self, claims: dict[str, Any]) -> None:
        now = self.clock()
        try:
            expires = datetime.fromtimestamp(claims["exp"], now.tzinfo)
        except (TypeError, ValueError, OverflowError) as error:
            raise TokenRefused("invalid_client", "exp is not a time") from error
        if expires <= now:
            raise TokenRefused("invalid_client", "the assertion has expired")
        if expires > now + LONGEST_ASSERTION + SKEW:
            raise TokenRefused("invalid_client", "exp is more than five minutes ahead")
        with self._lock:
            if str(claims["jti"]) in self._seen:
                raise TokenRefused("invalid_client", "jti was already used")
            self._seen[str(claims["jti"])] = expires

    def _forget_old(self) -> None:
        now = self.clock()
        self._tokens = {token: until for token, until in self._tokens.items() if until > now}
        self._seen = {jti: until for jti, until in self._seen.items() if until > now}
