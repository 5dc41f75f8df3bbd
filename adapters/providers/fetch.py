"""Fetches a small file over https, within bounds and without following redirects: certificates and confirmations of Amazon SNS."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

from adapters.base import AdapterError
from adapters.http.auth import Static
from adapters.http.client import HttpClient
from adapters.http.download import Bounds

SMALL = Bounds("the answer of Amazon SNS", 64 * 1024, 5.0)
SECONDS = 3.0


def fetched(url: str, ca: str = "") -> bytes:
    """The body. Raises :class:`~adapters.base.AdapterError` or ``Retryable``. ``ca``: certificates (PEM) to trust in addition."""
    parts = urlsplit(url)
    client = HttpClient(f"{parts.scheme}://{parts.netloc}", Static({}), clock=lambda: datetime.now(UTC), timeout=SECONDS, ca=ca)
    try:
        response = client.send("GET", url, {}, SMALL, peer="Amazon SNS")
    finally:
        client.close()
    if response.status_code != 200:
        raise AdapterError(f"Amazon SNS returned {response.status_code}")
    return response.content
