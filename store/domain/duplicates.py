"""The latest payloads of one authority about one patient, as one line of text. Pure.

A payload that comes again changes nothing, however late. The same content for the same time under another control id is news: with a time
that names only the day, en - es - en is three messages. So is the same content of a FHIR resource without version and time in a file of a
later time; the same file read twice is a repeat.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zlib import crc32

from store.domain import ordering
from store.times import BEGINNING, Time

KEPT = 64
DIGEST_LETTERS = 10
RECEIPT = "@"
"""Starts an entry that keeps when a payload was first received."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def key(digest: str, effective: Time, version: int, evidence_id: str) -> str:
    """The key of a payload, about 35 letters: its content, time, evidence id and version."""
    return f"{digest[:DIGEST_LETTERS]}.{_time(effective, evidence_id)}.{crc32(evidence_id.encode()):x}.{version}"


def knows_evidence(seen: str, payload: str) -> bool:
    """Whether a payload of the same time, evidence id and version was received before, however it was read."""
    return f".{payload.partition('.')[2]} " in f"{seen} "


def first_receipt(seen: str, content: str, effective: Time, evidence_id: str) -> datetime | None:
    """When a payload was first received, whatever mapping read it. Known only if its time ended at its receipt."""
    if RECEIPT not in seen:
        return None
    start = f"{RECEIPT}{content}.{_time(effective, evidence_id)}."
    found = next((one for one in seen.split() if one.startswith(start)), "") if content else ""
    return EPOCH + int(found.removeprefix(start), 16) * MICROSECOND if found else None


def with_receipt(seen: str, content: str, effective: Time, evidence_id: str, receipt: datetime) -> str:
    """The line, with the receipt of a payload whose time ends at it."""
    is_open = effective.earliest == BEGINNING or effective.latest > receipt
    if not content or not is_open or first_receipt(seen, content, effective, evidence_id) is not None:
        return seen
    return remember(seen, f"{RECEIPT}{content}.{_time(effective, evidence_id)}.{_whole(receipt):x}")


def knows(seen: str, payload: str) -> bool:
    """Whether this very payload was received before."""
    return f" {payload} " in f" {seen} "


def remember(seen: str, payload: str) -> str:
    """The line with one more payload. Past :data:`KEPT` the oldest is dropped; those of the newest time go last."""
    if not seen or knows(seen, payload):
        return seen or payload
    if seen.count(" ") + 1 >= KEPT:
        seen = _without_one(seen.split())
    return f"{seen} {payload}"


def joined(first: str, second: str) -> str:
    """Two lines as one, for two merged records."""
    for payload in second.split():
        first = remember(first, payload)
    return first


def _without_one(payloads: list[str]) -> str:
    times = [int(payload.split(".")[1].partition("~")[0], 16) for payload in payloads]
    newest = max(times)
    payloads.pop(next((place for place, time in enumerate(times) if time != newest), 0))
    return " ".join(payloads)


def _time(effective: Time, evidence_id: str) -> str:
    """The time of a payload. An unknown time ends at its receipt, which counts only if nothing else tells two payloads apart."""
    time = f"{_whole(effective.earliest):x}"  # whole numbers, so that two times never get one key
    if effective.end is not None and (effective.earliest != BEGINNING or ordering.is_unversioned(evidence_id)):
        time += f"~{_whole(effective.latest):x}"
    return time


def _whole(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND
