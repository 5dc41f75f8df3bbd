"""Segments of a batch or file of batches that stand without any message, and the messages of one payload. Pure."""

from __future__ import annotations

from adapters.base import Filtered, Item, Payload, Unmappable
from adapters.hl7v2.batch import OPENS, TRAILERS

MISCOUNTED = (
    "the batch says another number of messages, or the file of batches, than came: part is missing or doubled. What came is applied"
)
CUT_OFF = "the batch begins and does not end: what stood behind is missing, unless the sender never ends its batches. What came is applied"


def item(payload: Payload, body: bytes) -> Item:
    """What segments of a batch say that stand without any message (``batch.counted``)."""
    name = body.strip()[:3]
    if name in TRAILERS:
        return Unmappable("batch_count_mismatch", MISCOUNTED, payload.locator, body, f"{name.decode()}-1")
    if name in OPENS and len(body.strip().splitlines()) == 1:
        return Unmappable("batch_truncated", CUT_OFF, payload.locator, body, name.decode())
    return Filtered("batch_empty", payload.locator)


def part(payload: Payload, body: bytes, number: int) -> Payload:
    return Payload(body, f"{payload.locator}.{number}", payload.received, payload.written)
