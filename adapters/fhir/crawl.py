"""Crawl: reads the members of a group one by one, for servers on which all Patients cannot be searched (Epic, Oracle Health).

The position in the list is kept in the cursor, because a crawl with a small budget takes days. It is valid only for the same list. The
start time of the crawl is kept with it. It becomes the cursor at the end, if everybody could be read.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from typing import Protocol

import msgspec

from adapters.base import AdapterError, Batch, Filtered, IncompleteFetch, Unmappable
from adapters.fhir import group_members
from adapters.fhir.client import FhirClient
from adapters.http.client import StatusError
from adapters.http.download import TooLarge

BATCH = 100
MOST_FAILURES_IN_A_ROW = 10  # that many unreadable members in a row mean that the server cannot be read
CLIENT_STATUSES = (401, 429)  # errors about this client, not about one patient


@dataclass(frozen=True, slots=True)
class CrawlPlace:
    """The position of a crawl. ``digest`` identifies its list. ``left_out``: the number of members who could not be read."""

    digest: str
    started: str
    number: int = 0
    left_out: int = 0

    def text(self) -> str:
        """The text in the cursor."""
        return msgspec.json.encode({"crawl": self}).decode()


class _Kept(msgspec.Struct):
    crawl: CrawlPlace


class ReadsPatients(Protocol):
    """Reads Patients by resource id, as the polling adapter does."""

    clock: Callable[[], datetime]

    def by_id(self, client: FhirClient, patient: str) -> Iterator[Batch]:
        """Reads one Patient; no batch if the server does not have it."""

    def records_about(self, client: FhirClient, names: list[str], incomplete: list[str]) -> Iterator[Batch]:
        """Reads the records about some Patients. Why a result is incomplete is added to ``incomplete``."""


def crawl(rest: ReadsPatients, client: FhirClient, cursor: str | None, group_id: str) -> Iterator[Batch]:
    """Reads every member of the group, a hundred per batch. Raises :class:`~adapters.base.AdapterError`."""
    began = rest.clock()
    found = group_members.listed(client, group_id)
    if found is None:
        message = "the members of the group cannot be read, so crawling is not possible: check group, or use another read setting"
        raise AdapterError(message, permanent=True)
    names = found.names
    place = _resume(cursor, CrawlPlace(_digest(names), min(began, found.at).isoformat()), len(names))
    member = MemberReader(rest, client)
    for start in range(place.number, max(len(names), 1), BATCH):
        part = names[start : start + BATCH]
        batches = [batch for number, name in enumerate(part, start + 1) for batch in member.read(name, number)]
        place = replace(place, number=start + BATCH, left_out=place.left_out + len(member.left_out))
        if place.number >= len(names):
            member.check_any_read()
        items, payloads = [one for batch in batches for one in batch.items], [one for batch in batches for one in batch.payloads]
        yield Batch(items, _cursor(place, len(names), incomplete=found.incomplete), payloads, len(names), note=_note(place, len(names)))
        member.left_out.clear()
    if found.incomplete:
        raise IncompleteFetch(found.incomplete, again=False)


def read_separately(rest: ReadsPatients, client: FhirClient, names: Sequence[str]) -> Generator[Batch, None, set[str]]:
    """Reads some members in addition to another read. Returns those who could not be read: the next run tries them again."""
    member, unread = MemberReader(rest, client), set(names)
    with suppress(AdapterError):  # the other read will fail with the same error
        for number, name in enumerate(names, 1):
            for batch in member.read(name, number):
                yield batch._replace(total=None)
            unread.discard(name)
    unread.update(member.left_out)
    if unread:
        yield Batch((), None, note=f"{len(unread)} of the new group members could not be read; the next run tries again")
    return unread


class MemberReader:
    """Reads the members, and counts those who could not be read, and how many in a row."""

    def __init__(self, rest: ReadsPatients, client: FhirClient) -> None:
        self.rest, self.client, self.in_a_row = rest, client, 0
        self.left_out: list[str] = []
        self.good, self.error = False, AdapterError("no member of the group could be read")

    def read(self, name: str, number: int) -> list[Batch]:
        """Reads one member and the records about them. A member who cannot be read becomes a rejection, and the next crawl reads them."""
        where = f"Patient/member-{number}"
        batches: list[Batch] = []
        try:
            # A Patient who no longer exists states nothing: what is known of them stays.
            batches += list(self.rest.by_id(self.client, name)) or [Batch([Filtered("patient_not_there", where)], None, [b""])]
            incomplete: list[str] = []
            for batch in self.rest.records_about(self.client, [name], incomplete):
                batches.append(batch)
            if incomplete:
                batches.append(self._left_out("; ".join(dict.fromkeys(incomplete)), name, where))
            self.good, self.in_a_row = True, 0
        except AdapterError as error:
            self.in_a_row, self.error = self.in_a_row + 1, error
            if _affects_all(error) or self.in_a_row >= MOST_FAILURES_IN_A_ROW:
                raise
            batches.append(self._left_out(str(error), name, where))
        return batches

    def check_any_read(self) -> None:
        """Raises the last error if no member at all could be read: then the server or our configuration has a problem."""
        if self.left_out and not self.good:
            raise self.error

    def _left_out(self, reason: str, name: str, where: str) -> Batch:
        self.left_out.append(name)
        detail = f"{reason}: this group member could not be read completely; the next run tries again"
        return Batch([Unmappable("patient_not_read", detail, where, f"Patient/{name}".encode())], None, [b""])


def _affects_all(error: AdapterError) -> bool:
    """Whether the error would affect the next member too: our access, our settings, or a server that asks us to wait."""
    status = error.status if isinstance(error, StatusError) else None
    return (
        status in CLIENT_STATUSES
        or error.retry_after is not None
        or (status is None and error.permanent and not isinstance(error, TooLarge))
    )


def _cursor(place: CrawlPlace, members: int, *, incomplete: str) -> str:
    """The cursor: the position; after the last member the start time of the crawl, or position 0 if somebody was left out."""
    if place.number < members:
        return place.text()
    return replace(place, number=0, left_out=0, started="").text() if place.left_out or incomplete else place.started


def _note(place: CrawlPlace, members: int) -> str:
    if not place.left_out or place.number < members:
        return ""
    return f"{place.left_out} of {members} group members could not be read: see the rejections; the next run tries again"


def _digest(names: Sequence[str]) -> str:
    return blake2b("\0".join(names).encode(), digest_size=8).hexdigest()


def _resume(cursor: str | None, fresh: CrawlPlace, members: int) -> CrawlPlace:
    """The position in the cursor, if it is for this list; else the beginning."""
    try:
        kept = msgspec.json.decode(cursor or "", type=_Kept).crawl
        began = datetime.fromisoformat(kept.started).tzinfo
    except (msgspec.MsgspecError, ValueError):
        return fresh
    return kept if kept.digest == fresh.digest and began and 0 < kept.number < members else fresh
