"""Messages of invented patients, built field by field, so that a test shows only the fields that it needs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from adapters.base import Item, Payload, SourceSettings, Unmappable
from adapters.hl7v2.mapping import Hl7Mapper
from store.preference import PatientStatements, Statement

RECEIVED = datetime(2026, 11, 1, 15, 0, tzinfo=UTC)
MRN = "MRN10001^^^GENHOSP^MR"


def segment(name: str, **fields: str) -> str:
    """``segment("PID", f3="1")`` is ``PID|||1``."""
    numbers = {int(key[1:]): value for key, value in fields.items()}
    return "|".join([name, *(numbers.get(n, "") for n in range(1, max(numbers, default=0) + 1))])


def adt(event: str = "A08", *more: str, header: str = "", **pid: str) -> bytes:
    """An ADT message with PID-3 ``MRN10001``; ``more`` are further segments, keywords are PID fields (``f13=…``)."""
    fields = {"f3": MRN} | pid
    msh = header or f"MSH|^~\\&|ADT|GENHOSP|SYNC|HUB|20261101083000||ADT^{event}|MSG00001|P|2.5.1"
    return "\r".join([msh, f"EVN|{event}", segment("PID", **fields), *more]).encode() + b"\r"


def settings(**changes: Any) -> SourceSettings:
    """The settings of a source whose patient identifier is the MR of GENHOSP."""
    known: dict[str, Any] = {
        "name": "genhosp-adt",
        "adapter": "hl7v2.mllp",
        "authority": "GENHOSP",
        "identifier_type": "MR",
        "default_region": "US",
        "time_zone": "America/Chicago",
        "authorities": {"GENHOSP": "GENHOSP", "urn:oid:1.2.36.146.595": "GENHOSP", "https://genhosp.example/mrn": "GENHOSP"},
    }
    return SourceSettings(**(known | changes))


def items(body: bytes, **changes: Any) -> list[Item]:
    return Hl7Mapper(settings(**changes)).read(Payload(body, "test#1", RECEIVED))


def stated(body: bytes, **changes: Any) -> PatientStatements:
    """The statements about the only patient of the message."""
    (item,) = items(body, **changes)
    assert isinstance(item, PatientStatements), item
    return item


def statements(body: bytes, **changes: Any) -> dict[str, Statement]:
    return dict(stated(body, **changes).statements)


def refused(body: bytes, **changes: Any) -> Unmappable:
    (item,) = items(body, **changes)
    assert isinstance(item, Unmappable), item
    return item
