"""Who is in a group, and who is new there.

``_since`` has a hole: somebody who joins a group with data that is old is no change, so an incremental export does not bring them
(LinuxForHealth FHIR issue 3151). The ids of the members at the last export are kept, as numbers, and whoever was not among them is
read apart (``joiners``).
"""

from __future__ import annotations

import zlib
from array import array
from base64 import b64decode, b64encode
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from datetime import datetime
from hashlib import blake2b

import msgspec

from adapters.base import AdapterError
from adapters.fhir.client import FhirClient
from adapters.legible import BYTE_ORDER_MARK

NUMBER = "Q"  # 64 bits: of a million members, two share a number once in 37 million groups


class _Reference(msgspec.Struct):
    reference: str | None = None


class _Member(msgspec.Struct):
    entity: _Reference | None = None
    inactive: bool | None = None


class _Group(msgspec.Struct):
    member: list[_Member] | None = None


_decode = msgspec.json.Decoder(_Group).decode


def members(client: FhirClient, name: str) -> list[str] | None:
    """The resource ids of the Patients in a group; ``None`` when the server does not show them."""
    found = listed(client, name)
    return None if found is None else found[0]


def listed(client: FhirClient, name: str) -> tuple[list[str], datetime] | None:
    """The same, and no later than when the server listed them."""
    try:
        response = client.read("Group", name)
        if response is None:
            return None
        found = _decode(response.body.removeprefix(BYTE_ORDER_MARK)).member
    except AdapterError as error:
        if not error.permanent:
            raise
        return None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return None if found is None else (list(_patients(found)), response.asked)


def _patients(found: Iterable[_Member]) -> Iterator[str]:
    for member in found:
        kind, _, name = (member.entity.reference or "" if member.entity else "").removesuffix("/").rpartition("/")
        if name and kind.rpartition("/")[2] == "Patient" and not member.inactive:
            yield name


def packed(names: Iterable[str]) -> str:
    """The members as they are kept: sorted numbers, eight bytes each."""
    return _as_text(map(_number, names))


def newcomers(names: Iterable[str], kept: str | None) -> list[str] | None:
    """Those who were not members before; ``None`` when it is not known who was."""
    known = _unpacked(kept)
    return None if known is None else [name for name in names if not _holds(known, _number(name))]


def united(kept: str | None, more: str) -> str:
    """Two packed lists as one."""
    return _as_text({*(_unpacked(kept) or ()), *(_unpacked(more) or ())})


def _unpacked(kept: str | None) -> array[int] | None:
    try:
        return array(NUMBER, zlib.decompress(b64decode(kept, validate=True))) if kept else None
    except (ValueError, zlib.error):
        return None


def _as_text(numbers: Iterable[int]) -> str:
    return b64encode(zlib.compress(array(NUMBER, sorted(numbers)).tobytes(), 1)).decode()


def _holds(known: array[int], number: int) -> bool:
    place = bisect_left(known, number)
    return place < len(known) and known[place] == number


def _number(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
