"""Webhooks to senders by the Standard Webhooks specification: secrets, signatures, and when to try again. Pure.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

SECRET_PREFIX = "whsec_"
SHORTEST_SECRET, LONGEST_SECRET = 24, 64  # bytes, by the specification
WAITS = tuple(timedelta(seconds=seconds) for seconds in (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400))
"""The specification's table: how long after each failed attempt the next one is made. The first is made at once."""
GONE = 410


class WebhookMessage(NamedTuple):
    """A message for one endpoint. ``id`` is the same for every attempt, so that the receiver can tell a repeat."""

    id: str
    body: bytes


def read_secret(text: str) -> bytes:
    """The key in a secret like ``whsec_…``. Raises ``ValueError`` for one that the specification does not allow."""
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(SECRET_PREFIX) or not SHORTEST_SECRET <= len(key) <= LONGEST_SECRET:
        raise ValueError("a secret must be whsec_ and 24 to 64 bytes in base64")
    return key


def signed_headers(message: WebhookMessage, secrets: Iterable[bytes], now: datetime) -> dict[str, str]:
    """The headers of an attempt made ``now``, signed with each secret, so that a receiver may know the old or the new one."""
    timestamp = str(int(now.timestamp()))
    content = f"{message.id}.{timestamp}.".encode() + message.body
    digests = (base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode() for secret in secrets)
    return {
        "content-type": "application/json",
        "webhook-id": message.id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{digest}" for digest in digests),
    }


def wait_after(attempts: int, spread: float, retry_after: float | None = None) -> timedelta | None:
    """How long to wait after so many failed attempts; ``None``: no more. ``spread`` from 0 to 1 adds up to a fifth.

    ``retry_after``: seconds that the receiver asked for, at most a day. It only makes the wait longer.
    """
    if attempts > len(WAITS):
        return None
    return max(WAITS[attempts - 1] * (1 + spread / 5), timedelta(seconds=min(retry_after or 0, 86_400)))
