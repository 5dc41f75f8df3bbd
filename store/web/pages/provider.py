"""The client of an OpenID Connect provider (OpenID Connect Core 1.0, Discovery 1.0, RP-Initiated Logout 1.0).

It uses the authorization code flow with PKCE (RFC 7636). State, nonce and verifier are derived from one secret, which is in a cookie of the
browser that started the sign-in. So nothing is stored here before the provider has confirmed an identity. Errors never quote the
provider's responses, which contain personal data.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from store.users.openid import OpenId

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
"""Accepted signature algorithms of ID tokens: asymmetric only, so neither ``none`` nor those with a shared secret."""
STATE, NONCE, VERIFIER = b"state", b"nonce", b"verifier"
KEPT = timedelta(hours=1)
LEEWAY = 60
TIMEOUT = 10.0
UNREACHABLE, NO_PROVIDER, CODE_REFUSED, TOKEN_INVALID = "provider_unreachable", "no_provider", "code_refused", "token_invalid"
NEEDED = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class ProviderFailed(Exception):
    """The provider confirmed no identity. ``why`` is a stable code; ``UNREACHABLE`` may work later."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


class Provider:
    """The provider. Its discovery document and keys are read on first use, and again after an hour."""

    def __init__(self, settings: OpenId) -> None:
        self.settings = settings
        self._document: tuple[datetime, Mapping[str, Any]] | None = None
        self._keys: tuple[datetime, KeySet] | None = None

    def begin(self, secret: str, now: datetime) -> str:
        """The URL to redirect the browser to. Raises :class:`ProviderFailed`."""
        document = self._discovered(now)
        with self._client(document) as client:
            url, _ = client.create_authorization_url(
                document["authorization_endpoint"],
                state=derived(secret, STATE),
                nonce=derived(secret, NONCE),
                code_verifier=derived(secret, VERIFIER),
            )
        return str(url)

    def finish(self, secret: str, code: str, now: datetime) -> Mapping[str, Any]:
        """Exchanges the code for an ID token and returns its verified claims. Raises :class:`ProviderFailed`."""
        document = self._discovered(now)
        try:
            with self._client(document) as client:
                token = client.fetch_token(
                    document["token_endpoint"],
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=derived(secret, VERIFIER),
                    allow_redirects=False,
                )
        except (AuthlibBaseError, ValueError) as error:
            raise ProviderFailed(CODE_REFUSED) from error
        except OSError as error:
            raise ProviderFailed(UNREACHABLE) from error
        return self._checked(token, derived(secret, NONCE), now)

    def sign_out_url(self, now: datetime) -> str | None:
        """The URL to sign out at the provider too; ``None`` if it offers none or does not respond."""
        try:
            address = self._discovered(now).get("end_session_endpoint")
        except ProviderFailed:
            return None
        if not self._trusted(address):
            return None
        settings = self.settings
        parameters = {"client_id": settings.client_id, "post_logout_redirect_uri": f"{settings.public_url}/sign-in"}
        return f"{address}{'&' if '?' in str(address) else '?'}{urlencode(parameters)}"

    def _checked(self, token: Mapping[str, Any], nonce: str, now: datetime) -> Mapping[str, Any]:
        """The claims, after the checks of Core 3.1.3.7: signature, issuer, audience, times, nonce, access token hash if present."""
        settings = self.settings
        expected = {"iss": settings.issuer, "aud": settings.client_id}
        options = {name: {"essential": True, "value": value} for name, value in expected.items()}
        parameters = {"nonce": nonce, "client_id": settings.client_id, "access_token": token.get("access_token")}
        try:
            signed = self._verified(str(token.get("id_token") or ""), now)
            claims = CodeIDToken(signed.claims, signed.header, options, parameters)
            claims.validate(now=int(now.timestamp()), leeway=LEEWAY)
        except (JoseError, ValueError, TypeError) as error:
            raise ProviderFailed(TOKEN_INVALID) from error
        return dict(claims)

    def _verified(self, id_token: str, now: datetime) -> jwt.Token:
        """The token, verified with the provider's keys. Providers rotate keys, so they are read again before a key counts as unknown."""
        try:
            return jwt.decode(id_token, self._signing_keys(now), ALGORITHMS)
        except (InvalidKeyIdError, BadSignatureError):
            self._keys = None
            return jwt.decode(id_token, self._signing_keys(now), ALGORITHMS)

    def _discovered(self, now: datetime) -> Mapping[str, Any]:
        if self._document is None or now - self._document[0] > KEPT:
            document = self._read(f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration")
            if document.get("issuer") != self.settings.issuer or not all(self._trusted(document.get(name)) for name in NEEDED):
                raise ProviderFailed(NO_PROVIDER)
            self._document = now, document
        return self._document[1]

    def _signing_keys(self, now: datetime) -> KeySet:
        if self._keys is None or now - self._keys[0] > KEPT:
            document = self._read(self._discovered(now)["jwks_uri"])
            try:
                self._keys = now, KeySet.import_key_set(document)  # type: ignore[arg-type]
            except (KeyError, TypeError) as error:
                raise ProviderFailed(NO_PROVIDER) from error
        return self._keys[1]

    def _read(self, url: str) -> Mapping[str, Any]:
        try:
            with OAuth2Session() as session:
                answer = session.get(url, withhold_token=True, auth=_unchanged, timeout=TIMEOUT, allow_redirects=False)
                document = answer.json() if answer.status_code == 200 else None
        except ValueError as error:
            raise ProviderFailed(NO_PROVIDER) from error
        except OSError as error:
            raise ProviderFailed(UNREACHABLE) from error
        if not isinstance(document, dict):
            raise ProviderFailed(NO_PROVIDER if answer.status_code < 500 else UNREACHABLE)
        return document

    def _client(self, document: Mapping[str, Any]) -> OAuth2Session:
        settings, offered = self.settings, document.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        return OAuth2Session(
            settings.client_id,
            settings.client_secret,
            token_endpoint_auth_method="client_secret_basic" if "client_secret_basic" in offered else "client_secret_post",
            scope=" ".join(settings.scopes),
            redirect_uri=settings.redirect_uri,
            code_challenge_method="S256",
            default_timeout=TIMEOUT,
        )

    def _trusted(self, address: Any) -> bool:
        """Whether a URL of the provider is as secure as its issuer's."""
        return isinstance(address, str) and address.startswith(("https://", f"{self.settings.issuer.partition('://')[0]}://"))


def derived(secret: str, purpose: bytes) -> str:
    """A value derived from a sign-in's secret for one purpose. It reveals neither the secret nor the values for other purposes."""
    return urlsafe_b64encode(hmac.digest(secret.encode(), purpose, hashlib.sha256)).decode().rstrip("=")


def _unchanged(request: Any) -> Any:
    """An ``auth`` that changes nothing. Without any ``auth``, ``requests`` would send credentials from ~/.netrc."""
    return request
