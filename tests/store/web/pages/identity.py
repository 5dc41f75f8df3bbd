"""A small OpenID Connect provider on loopback: its own HTTP server, discovery, RSA keys, and a sign-in page.

It makes the checks of a provider (client, redirect URI, PKCE, single-use codes) and can inject faults that a client must detect.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

CLIENT, SECRET = "emr-sync", "s3cret & more"
Claims = dict[str, Any]


def same(claims: Claims) -> Claims:
    """Leaves the claims unchanged."""
    return claims


@dataclass
class Key:
    """A signing key for ID tokens."""

    kid: str
    private: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    @property
    def public(self) -> Mapping[str, Any]:
        """The public key as published."""
        return {**RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True), "kid": self.kid, "use": "sig", "alg": "RS256"}


@dataclass
class Identity:
    """The provider. ``person`` has the claims of the next user; ``spoil`` changes an ID token's claims before signing."""

    clock: Callable[[], datetime]
    person: Claims = field(default_factory=dict)
    spoil: Callable[[Claims], Claims] = same
    sign: Callable[[Identity, Claims], str] | None = None
    issuer_said: str | None = None
    away: bool = False
    key: Key = field(default_factory=lambda: Key("first"))
    published: list[Key] = field(default_factory=list)
    redirect_uris: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    passwords: list[str] = field(default_factory=list)
    """What came as Authorization where nobody should prove who they are."""
    codes: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.published.append(self.key)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="identity", daemon=True)

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/realms/staff"

    def __enter__(self) -> Identity:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(20)

    def rotate(self) -> None:
        """Replaces the signing key; the former one is no longer published."""
        self.key = Key("second")
        self.published[:] = [self.key]

    def discovery(self) -> Mapping[str, Any]:
        """OpenID Connect Discovery 1.0."""
        ends = {"authorization": "authorize", "token": "token", "end_session": "logout"}
        return {
            "issuer": self.issuer_said or self.issuer,
            **{f"{name}_endpoint": f"{self.issuer}/{path}" for name, path in ends.items()},
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }

    def code(self, requested: Mapping[str, str]) -> str:
        """A code for the current user, bound to the request."""
        code = secrets.token_urlsafe(16)
        self.codes[code] = requested
        return code

    def tokens(self, form: Mapping[str, str], authorization: str) -> tuple[int, Mapping[str, Any]]:
        """The token endpoint: RFC 6749 4.1.3, RFC 7636 4.6, Core 3.1.3."""
        kind, _, value = authorization.partition(" ")
        client, _, secret = base64.b64decode(value).decode().partition(":") if kind == "Basic" else ("", "", "")
        if (unquote(client), unquote(secret)) != (CLIENT, SECRET):
            return 401, {"error": "invalid_client"}
        requested = self.codes.pop(form.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).decode().rstrip("=")
        if requested is None or challenge != requested["code_challenge"] or form.get("redirect_uri") != requested["redirect_uri"]:
            return 400, {"error": "invalid_grant", "error_description": "Robin Invented may not"}
        access = secrets.token_urlsafe(16)
        return 200, {"access_token": access, "token_type": "Bearer", "expires_in": 300, "id_token": self._id_token(requested, access)}

    def _id_token(self, requested: Mapping[str, str], access: str) -> str:
        now = int(self.clock().timestamp())
        half = base64.urlsafe_b64encode(hashlib.sha256(access.encode()).digest()[:16]).decode().rstrip("=")
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": requested["nonce"],
            "at_hash": half,
            **self.person,
        }
        return (self.sign or signed)(self, self.spoil(claims))


def signed(identity: Identity, claims: Claims, algorithm: str = "RS256", kid: str | None = None) -> str:
    """The claims as an ID token, signed with the current key."""
    return jwt.encode(claims, identity.key.private, algorithm=algorithm, headers={"kid": kid or identity.key.kid})


def _handler(identity: Identity) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Logs nothing; tests use ``requests``."""

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            path, requested = url.path.removeprefix("/realms/staff"), dict(parse_qsl(url.query))
            identity.requests.append(path)
            identity.passwords += [one for one in [self.headers.get("authorization")] if one]
            if identity.away:
                self._send(503, b"", "text/plain")
            elif path == "/.well-known/openid-configuration":
                self._json(200, identity.discovery())
            elif path == "/keys":
                self._json(200, {"keys": [key.public for key in identity.published]})
            elif path == "/authorize":
                self._send(200, _page(url.query).encode(), "text/html")
            elif path == "/logout":
                self._to(requested["post_logout_redirect_uri"])
            else:
                self._send(404, b"", "text/plain")

        def do_POST(self) -> None:
            path = urlsplit(self.path).path.removeprefix("/realms/staff")
            identity.requests.append(path)
            form = {name: values[0] for name, values in parse_qs(self.rfile.read(int(self.headers["content-length"])).decode()).items()}
            if identity.away:
                self._send(503, b"", "text/plain")
            elif path == "/token":
                self._json(*identity.tokens(form, self.headers.get("authorization", "")))
            else:
                self._signed_in(dict(parse_qsl(form["asked"])))

        def _signed_in(self, requested: Mapping[str, str]) -> None:
            """The user has signed in: redirects to the client with a code."""
            if requested["redirect_uri"] not in identity.redirect_uris or requested["client_id"] != CLIENT:
                self._send(400, b"not a client of ours", "text/plain")
                return
            query = {"code": identity.code(requested), "state": requested["state"], "iss": identity.issuer}
            self._to(f"{requested['redirect_uri']}?{urlencode(query)}")

        def _to(self, where: str) -> None:
            self.send_response(302)
            self.send_header("location", where)
            self.send_header("content-length", "0")
            self.end_headers()

        def _json(self, status: int, value: Mapping[str, Any]) -> None:
            self._send(status, json.dumps(value).encode(), "application/json")

        def _send(self, status: int, body: bytes, media: str) -> None:
            self.send_response(status)
            self.send_header("content-type", media)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def _page(requested: str) -> str:
    return f"""<!doctype html><html lang="en"><title>Staff</title><h1>Who are you?</h1>
<form method="post" action="authorize"><input type="hidden" name="asked" value="{escape(requested)}"><button>It is me</button></form>"""
