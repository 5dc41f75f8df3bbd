"""Batch and file segments without a message, and the single messages of a batch in one payload. Pure."""

from __future__ import annotations

from adapters.base import Filtered, Item, Payload, Unmappable
from adapters.hl7v2.batch import OPENS, TRAILERS

MISCOUNTED = "the message or batch count in the trailer does not match: part is missing or duplicated. Received messages were applied"
CUT_OFF = "the batch has no trailer: the rest may be missing, unless the sender never sends trailers. Received messages were applied"


def item(payload: Payload, body: bytes) -> Item:
    """The item for batch segments that are not part of a message (``batch.counted``)."""
    name = body.strip()[:3]
    if name in TRAILERS:
        return Unmappable("batch_count_mismatch", MISCOUNTED, payload.locator, body, f"{name.decode()}-1")
    if name in OPENS and len(body.strip().splitlines()) == 1:
        return Unmappable("batch_truncated", CUT_OFF, payload.locator, body, name.decode())
    return Filtered("batch_empty", payload.locator)


def part(payload: Payload, body: bytes, number: int) -> Payload:
    """One message of a batch as a payload of its own."""
    return Payload(body, f"{payload.locator}.{number}", payload.received, payload.written)
