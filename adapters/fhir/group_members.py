"""The members of a group, and those who joined since its last export.

``_since`` has a gap: a patient with old data who joins a group is not a change, so an incremental export does not contain them
(LinuxForHealth FHIR issue 3151). So the members at the last export are stored, as numbers, and new members are read separately.

Three lists of numbers (``packed``) are kept in the source's notes (``adapters.notes``): the members at the last stored export, those at the
export in progress, and those who joined since and were read separately.
"""

from __future__ import annotations

import zlib
from array import array
from base64 import b64decode, b64encode
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from adapters.base import AdapterError
from adapters.fhir import outcome
from adapters.fhir.client import FhirClient
from adapters.mapping.legible import BYTE_ORDER_MARK
from adapters.notes import Notes

EACH, PENDING, READ = "members", "members.pending", "members.read"


class NewGroupMembers:
    """The new members of one source's group. ``notes`` returns where they are stored, because that can be replaced."""

    def __init__(self, notes: Callable[[], Notes]) -> None:
        self._notes = notes

    def new(self, names: Sequence[str]) -> list[str] | None:
        """Members who were not in the group at the last export and were not read since; ``None`` if its members are not known."""
        joined = new_names(names, self._notes().read(EACH))
        unread = new_names(joined, self._notes().read(READ)) if joined else None
        return joined if unread is None else unread

    def export_requested(self, names: Sequence[str] | None) -> None:
        """Records the members at the time of an export request. They count only after the export is stored."""
        self._notes().change(PENDING, lambda _: "" if names is None else packed(names))

    def export_stored(self) -> None:
        """Records that the export is stored, and with it all members at the time of its request."""
        if pending := self._notes().read(PENDING):
            self._notes().change(EACH, lambda _: pending)
            self._notes().change(READ, lambda _: "")

    def read(self, numbers: str) -> None:
        """Records new members (``packed``) who were read separately from an export of the group."""
        self._notes().change(READ, lambda kept: union(kept, numbers))


NUMBER = "Q"  # 64 bits: of a million members, two share a number once in 37 million groups


class _Reference(msgspec.Struct):
    reference: str | None = None


class _Member(msgspec.Struct):
    entity: _Reference | None = None
    inactive: bool | None = None


class _Group(msgspec.Struct, rename="camel"):
    resource_type: str | None = None
    member: list[_Member] | None = None
    quantity: Any = None


class NotAGroup(AdapterError):
    """The response is not a Group, but for example an error page. A retry may return it."""


class Members(NamedTuple):
    """The resource ids of the Patients in a group. ``at``: no later than when they were listed. ``incomplete``: why some are missing."""

    names: list[str]
    at: datetime
    incomplete: str


_decode = msgspec.json.Decoder(_Group).decode


def members(client: FhirClient, name: str) -> list[str] | None:
    """The resource ids of the Patients in a group; ``None`` if the server does not list them."""
    try:
        found = listed(client, name)
    except NotAGroup:
        return None
    return None if found is None else found.names


def listed(client: FhirClient, name: str) -> Members | None:
    """The same, with the time and whether the list is complete. Raises :class:`NotAGroup`."""
    try:
        response = client.read("Group", name)
    except AdapterError as error:
        if not error.permanent:
            raise
        return None
    if response is None:
        return None
    try:
        found = _decode(response.body.removeprefix(BYTE_ORDER_MARK))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        found = _Group()
    if found.resource_type != "Group":
        raise NotAGroup(f"reading the group returned {outcome.described(response.body)} instead of a Group")
    if found.member is None:
        return None
    return Members(list(_patients(found.member)), response.began, _shortfall(found))


def _shortfall(found: _Group) -> str:
    """Why members are missing. Source: FHIR R4 Group.quantity: it may be less than the members, if some are inactive, but never more."""
    count, received = found.quantity, len(found.member or ())
    return f"the group announces {count} members but lists {received}" if type(count) is int and count > received else ""


def _patients(found: Iterable[_Member]) -> Iterator[str]:
    for member in found:
        kind, _, name = (member.entity.reference or "" if member.entity else "").removesuffix("/").rpartition("/")
        if name and kind.rpartition("/")[2] == "Patient" and not member.inactive:
            yield name


def packed(names: Iterable[str]) -> str:
    """The members in the stored form: sorted numbers, eight bytes each."""
    return _as_text(map(_number, names))


def new_names(names: Iterable[str], kept: str | None) -> list[str] | None:
    """The names that are not in the stored list; ``None`` if there is no list."""
    known = _unpacked(kept)
    return None if known is None else [name for name in names if not _contains(known, _number(name))]


def union(kept: str | None, more: str) -> str:
    """The union of two packed lists."""
    return _as_text({*(_unpacked(kept) or ()), *(_unpacked(more) or ())})


def _unpacked(kept: str | None) -> array[int] | None:
    try:
        return array(NUMBER, zlib.decompress(b64decode(kept, validate=True))) if kept else None
    except (ValueError, zlib.error):
        return None


def _as_text(numbers: Iterable[int]) -> str:
    return b64encode(zlib.compress(array(NUMBER, sorted(numbers)).tobytes(), 1)).decode()


def _contains(known: array[int], number: int) -> bool:
    place = bisect_left(known, number)
    return place < len(known) and known[place] == number


def _number(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
