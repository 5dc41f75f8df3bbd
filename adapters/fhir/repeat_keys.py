"""Recognizes a Patient that came before, byte for byte, so that it need not be mapped again. Pure, but for the program's own files.

What a record states follows from its bytes, from the settings of its source and from the program: :class:`RepeatKeys` digests all three. It
also follows from the day, if the record has periods; then the key is that of one day. A record of which anything could not be used, or
which names other patients, has no key: it is mapped each time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from functools import cached_property
from hashlib import blake2b
from typing import Any

import msgspec

from adapters.base import SourceSettings
from adapters.fhir.options import MapperOptions
from adapters.mapping.legible import BYTE_ORDER_MARK
from adapters.mapping.program import program

PERIOD, ESCAPED_O, ESCAPED_P = b"period", b"\\u006", b"\\u007"
"""A record with a period has the name of the element, or a letter of it as an escape: "a" to "o", or "p" and following."""
NOT_READ_BY = ("options", "adapter", "preset")


class ResourceKind(msgspec.Struct, rename={"kind": "resourceType"}):
    """The part of a resource that says what it is."""

    kind: str


class PatientHead(msgspec.Struct, rename={"kind": "resourceType"}):
    """The part of a resource that says whom it is about and when it changed."""

    kind: str
    id: Any = None
    meta: Any = None
    identifier: Any = None


_kind = msgspec.json.Decoder(ResourceKind).decode
_head = msgspec.json.Decoder(PatientHead).decode


def is_patient(body: bytes) -> bool:
    """Whether the bytes are a Patient. ``False`` also if only their repair would tell."""
    try:
        return _kind(body.removeprefix(BYTE_ORDER_MARK)).kind == "Patient"
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False


def head(body: bytes) -> dict[str, Any] | None:
    """The head of a Patient, without the rest; ``None`` for anything else."""
    try:
        found = _head(body.removeprefix(BYTE_ORDER_MARK))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if found.kind != "Patient":
        return None
    return {"resourceType": "Patient", "id": found.id, "meta": found.meta, "identifier": found.identifier}


class RepeatKeys:
    """The keys of one source's records. The settings that are secret, or that only say how it is reached, are not part of them."""

    def __init__(self, settings: SourceSettings, options: MapperOptions, release: Callable[[], str] = program) -> None:
        self._settings, self._options, self._release = settings, options, release

    @cached_property
    def _reading(self) -> bytes:
        by = {one.name: getattr(self._settings, one.name) for one in fields(self._settings) if one.init and one.name not in NOT_READ_BY}
        written = json.dumps([by, asdict(self._options), self._release()], sort_keys=True, default=_written)
        return blake2b(written.encode(), digest_size=32).digest()

    def of(self, body: bytes, day: str) -> str:
        """The key of a record received on an ISO date."""
        has_period = PERIOD in body or (b"\\" in body and (ESCAPED_O in body or ESCAPED_P in body))
        until = day if has_period else ""
        return blake2b(body, digest_size=12, key=self._reading, person=until.encode()).hexdigest()


def _written(value: Any) -> Any:
    """A value that JSON has no form for. A set in one order, so that it is the same in every process."""
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    return dict(value) if isinstance(value, Mapping) else str(value)
