"""Reading Patients one by one, by the members of a group: for servers that do not let all of them be searched (Epic, Oracle Health).

The place in the list is kept in the cursor, since a crawl under a small budget takes days. It counts only for the same list.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING

from adapters.base import AdapterError, Batch, Filtered, Item
from adapters.fhir import group
from adapters.fhir.client import FhirClient

if TYPE_CHECKING:
    from adapters.fhir.rest import RestAdapter

BATCH = 100
MARK = "crawl"


def crawl(rest: RestAdapter, client: FhirClient, cursor: str | None) -> Iterator[Batch]:
    """Every member of the group, a hundred a batch. Raises :class:`~adapters.base.AdapterError`."""
    names = group.members(client, rest.options.group)
    if names is None:
        message = "the members of the group cannot be read, so nobody can be read one by one: look at group, or choose another way to read"
        raise AdapterError(message, permanent=True)
    started, digest = rest.clock(), _digest(names)
    for start in range(_place(cursor, digest), len(names), BATCH):
        part = names[start : start + BATCH]
        last = start + BATCH >= len(names)
        items, payloads = _read(rest, client, part, start)
        yield Batch(items, None, payloads, len(names))
        yield from rest.about(client, part)
        yield Batch((), started.isoformat() if last else f"{MARK} {start + BATCH} {digest}", total=len(names))


def _read(rest: RestAdapter, client: FhirClient, names: list[str], start: int) -> tuple[list[Item], list[bytes]]:
    items: list[Item] = []
    payloads: list[bytes] = []
    for number, name in enumerate(names, start + 1):
        found = [(item, body) for batch in rest.by_id(client, name) for item, body in zip(batch.items, batch.payloads, strict=True)]
        # Somebody who is not there any more says nothing: what they said stands.
        for item, body in found or [(Filtered("patient_not_there", f"Patient/member-{number}"), b"")]:
            items.append(item)
            payloads.append(body)
    return items, payloads


def _digest(names: list[str]) -> str:
    return blake2b("\0".join(names).encode(), digest_size=8).hexdigest()


def _place(cursor: str | None, digest: str) -> int:
    """How many of this very list are stored."""
    mark, _, rest = (cursor or "").partition(" ")
    number, _, of = rest.partition(" ")
    return int(number) if mark == MARK and of == digest and number.isdecimal() else 0
