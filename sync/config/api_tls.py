"""The API under TLS: its certificate, the proxies whose word counts, and that browsers come back by TLS only."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from adapters.hl7v2 import tls
from sync.config import Settings
from sync.config.problems import UsageError

YEAR = b"max-age=31536000"


def context(settings: Settings) -> ssl.SSLContext | None:
    """For connections to the API; ``None`` for plain HTTP. Raises ``UsageError`` for a certificate or key that cannot be used."""
    if settings.tls is None:
        return None
    try:
        return tls.listening(settings.tls)
    except ValueError as error:
        raise UsageError(f"api.{error}") from error


def renew(made: ssl.SSLContext, options: Mapping[str, str]) -> None:
    """Has a context that is in use present another certificate to new connections."""
    tls.load_certificate(made, options)


def server_options(settings: Settings, made: ssl.SSLContext | None) -> Mapping[str, Any]:
    """What the web server needs to know of it. Headers that a proxy adds count only from those that are trusted."""
    trust = {"proxy_headers": bool(settings.trusted_proxies), "forwarded_allow_ips": list(settings.trusted_proxies)}
    return trust if made is None else trust | {"ssl_context_factory": lambda *_: made}


def strict(app: Any) -> Any:
    """The application, which tells browsers that came by TLS to do so from now on (HSTS, RFC 6797)."""

    async def answered(scope: Any, receive: Any, send: Any) -> None:
        if scope.get("scheme") != "https":
            await app(scope, receive, send)
            return

        async def with_header(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"strict-transport-security", YEAR)]}
            await send(message)

        await app(scope, receive, with_header)

    return answered
