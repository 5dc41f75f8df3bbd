"""The settings of a JSON source, read once and checked. Pure.

``record`` says where a patient's standard parts stand in a record, ``list`` how patients are asked for; a preset gives both. A wrong
setting is a ``ValueError`` that names it and what it takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from adapters.base import SourceSettings
from adapters.http.budget import BudgetLimits
from adapters.http.download import DownloadLimits
from adapters.http.options import base_url, download, limits
from adapters.options import listed, number
from store.preference import PhoneKind

Plain = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PhonePlace:
    """Where phones stand. Without ``each`` one phone at ``number``; with it one in each entry of that list.

    ``kind`` is what the number is for; ``kinds`` translates the text at ``kind_from``. An entry that has something at ``unless`` is over.
    """

    number: str
    kind: str = PhoneKind.OTHER.value
    each: str = ""
    kind_from: str = ""
    kinds: Plain = field(default_factory=dict)
    rank: str = ""
    unless: str = ""


@dataclass(frozen=True, slots=True)
class EmailPlace:
    """Where addresses stand, in the same way."""

    address: str
    each: str = ""
    unless: str = ""


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """Paths of a record's standard parts (``adapters/rest/path.py``); empty where the EMR has none.

    ``patient_id`` is where the identifier stands that the source's ``patient_id`` names. ``updated`` is when the record last changed;
    without it the time of the answer counts. ``merged_into`` is the id of the record that this one became a part of.
    """

    id: str
    patient_id: str = ""
    name: tuple[str, ...] = ()
    phones: tuple[PhonePlace, ...] = ()
    emails: tuple[EmailPlace, ...] = ()
    updated: str = ""
    merged_into: str = ""


@dataclass(frozen=True, slots=True)
class ListOptions:
    """How patients are asked for: a path below ``base_url``, where the answer holds them, and how it goes on.

    ``next`` is where the answer holds the link to more; ``offset`` and ``limit`` are the parameters of servers that count instead.
    ``since`` is the parameter that asks for what changed since a time, written as ``since_format``; without one everything is read.
    ``one`` asks for one patient: ``{id}`` is its place. ``total`` is where an answer announces how many records the whole list has, and
    ``errors`` where it reports errors among them: fewer records, or an error, mean that the answer broke off.
    """

    path: str
    items: str = ""
    next: str = ""
    offset: str = ""
    limit: str = ""
    since: str = ""
    since_format: str = "utc"
    parameters: Mapping[str, str] = field(default_factory=dict)
    one: str = ""
    total: str = ""
    errors: str = ""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How the server is reached. ``timeout`` in seconds is for each answer."""

    base_url: str
    auth: Plain = field(default_factory=dict)
    page_size: int = 100
    overlap: timedelta = timedelta(minutes=5)
    timeout: float = 60.0
    limits: BudgetLimits = field(default_factory=BudgetLimits)
    download: DownloadLimits = field(default_factory=DownloadLimits)


def record_options(settings: SourceSettings) -> RecordOptions:
    part = settings.options.get("record") or {}
    if not part.get("id"):
        raise ValueError("record.id is missing: set the path of the record's own id, or use a preset")
    plain = {name: str(part.get(name) or "") for name in ("id", "updated", "merged_into")}
    return RecordOptions(
        **plain,
        patient_id=str(settings.options.get("patient_id_from") or part.get("patient_id") or ""),
        name=listed(part, "name"),
        phones=tuple(_phone(one) for one in part.get("phones") or ()),
        emails=tuple(EmailPlace(**_written(one)) for one in part.get("emails") or ()),
    )


def list_options(settings: SourceSettings) -> ListOptions:
    part = settings.options.get("list") or {}
    if not part.get("path"):
        raise ValueError("list.path is missing: set the path below base_url that lists patients, or use a preset")
    return ListOptions(**_written(part))


def server_options(settings: SourceSettings) -> ServerOptions:
    options = settings.options
    return ServerOptions(
        base_url=base_url(options, "the base URL of the API"),
        auth=options.get("auth") or {},
        page_size=int(options.get("page_size") or 100),
        overlap=timedelta(seconds=number(options, "overlap", 300, least=0, most=30 * 86400)),
        timeout=number(options, "timeout", 60, least=1, most=3600),
        limits=limits(options, settings.time_zone),
        download=download(options),
    )


def _phone(part: Plain) -> PhonePlace:
    kinds = {code.casefold(): kind for code, kind in (part.get("kinds") or {}).items()}
    return PhonePlace(**{**_written(part), "kinds": kinds})


def _written(part: Plain) -> dict[str, Any]:
    """The settings that have a value."""
    return {name: value for name, value in part.items() if value is not None}
