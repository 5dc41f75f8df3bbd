"""The payloads of one authority about one patient that were seen lately, as one line of text. Pure.

A payload that comes again changes nothing, however late: not even where its time is that of what stands now. Its key is made of
what it states and the time it states it for, so a message sent again under another control id counts as the same.
"""

from __future__ import annotations

from datetime import datetime

KEPT = 64
DIGEST_LETTERS = 10


def key(digest: str, effective: datetime, version: int) -> str:
    """The key of a payload, some 25 letters."""
    return f"{digest[:DIGEST_LETTERS]}{int(effective.timestamp() * 1_000_000):x}{f'v{version}' if version else ''}"


def knows(seen: str, payload: str) -> bool:
    """Whether the payload was seen."""
    return f" {payload} " in f" {seen} "


def remember(seen: str, payload: str) -> str:
    """The line with one more payload, the oldest dropped past :data:`KEPT`."""
    if knows(seen, payload):
        return seen
    if seen.count(" ") + 1 >= KEPT:
        seen = seen.partition(" ")[2]
    return f"{seen} {payload}" if seen else payload


def joined(first: str, second: str) -> str:
    """Two lines as one, for two records of one person."""
    for payload in second.split():
        first = remember(first, payload)
    return first
