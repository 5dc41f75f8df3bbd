"""When configured certificates expire: the API's, those of listeners and of clients, and the authorities that are trusted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapters.hl7v2.tls import PEM
from sync.config import Settings

CERTIFICATES = ("certificate", "client_ca", "ca")
"""The settings of ``tls`` that hold certificates: ours, and of the authorities that are trusted."""


def certificates(settings: Settings) -> dict[str, datetime]:
    """Setting, as in ``sources.adt.tls.certificate`` -> when its first certificate to expire does. What cannot be read is left out."""
    return {name: found for name, text in _configured(settings) if (found := expires(text)) is not None}


def _configured(settings: Settings) -> Iterator[tuple[str, str]]:
    yield from _of("api.tls", settings.tls)
    for name, feed in settings.feeds.items():
        yield from _of(f"sources.{name}.tls", feed.settings.options.get("tls"))
        if ca := feed.settings.options.get("ca"):  # of an EMR's web server
            yield f"sources.{name}.ca", str(ca)


def _of(where: str, tls: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    for name in CERTIFICATES:
        if tls and tls.get(name):
            yield f"{where}.{name}", str(tls[name])


def expires(text: str) -> datetime | None:
    """When the first of some certificates expires: PEM, or a file of that. ``None`` if they cannot be read."""
    from cryptography import x509

    try:
        pem = text.encode() if text.lstrip().startswith(PEM) else Path(text).read_bytes()
        return min(one.not_valid_after_utc for one in x509.load_pem_x509_certificates(pem)).astimezone(UTC)
    except (OSError, ValueError):
        return None
