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
from adapters.options import number, own, texts
from store.preference import PhoneKind

KINDS = tuple(kind.value for kind in PhoneKind)
FORMATS = ("utc", "local", "date")
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
    options = settings.options
    known = ("id", "patient_id", "name", "phones", "emails", "updated", "merged_into")
    part = own("record", options.get("record") or {}, known)
    if not part.get("id"):
        raise ValueError("record.id is missing: set the path of the record's own id, or use a preset")
    plain = {name: str(part.get(name) or "") for name in ("id", "updated", "merged_into")}
    return RecordOptions(
        **plain,
        patient_id=str(options.get("patient_id_from") or part.get("patient_id") or ""),
        name=tuple(str(one) for one in _list("record.name", part.get("name"))),
        phones=tuple(_phone(f"record.phones[{n}]", one) for n, one in enumerate(_list("record.phones", part.get("phones")))),
        emails=tuple(_email(f"record.emails[{n}]", one) for n, one in enumerate(_list("record.emails", part.get("emails")))),
    )


def list_options(settings: SourceSettings) -> ListOptions:
    known = ("path", "items", "next", "offset", "limit", "since", "since_format", "parameters", "one", "total", "errors")
    part = own("list", settings.options.get("list") or {}, known)
    if not part.get("path"):
        raise ValueError("list.path is missing: set the path below base_url that lists patients, or use a preset")
    plain = {name: str(part.get(name) or "") for name in known if name not in ("parameters", "since_format")}
    format_ = str(part.get("since_format") or FORMATS[0])
    if format_ not in FORMATS:
        raise ValueError(f"list.since_format is {format_!r}: use one of {', '.join(FORMATS)}")
    return ListOptions(**plain, since_format=format_, parameters=texts(part, "parameters"))


def server_options(settings: SourceSettings) -> ServerOptions:
    options = settings.options
    return ServerOptions(
        base_url=base_url(options, "the base URL of the API"),
        auth=options.get("auth") or {},
        page_size=int(number(options, "page_size", 100, least=1, most=10_000)),
        overlap=timedelta(seconds=number(options, "overlap", 300, least=0, most=30 * 86400)),
        timeout=number(options, "timeout", 60, least=1, most=3600),
        limits=limits(options, settings.time_zone, ("requests_per_minute", "quiet_hours")),
        download=download(options),
    )


def _phone(where: str, written: Any) -> PhonePlace:
    known = ("number", "kind", "each", "kind_from", "kinds", "rank", "unless")
    place = {name: value for name, value in own(where, written, known).items() if value is not None}
    kinds = {str(code).casefold(): str(kind) for code, kind in (place.pop("kinds", None) or {}).items()}
    wrong = next((kind for kind in (*kinds.values(), str(place.get("kind") or KINDS[0])) if kind not in KINDS), None)
    if wrong is not None:
        raise ValueError(f"{where} has the kind {wrong!r}: use one of {', '.join(KINDS)}")
    if not place.get("number"):
        raise ValueError(f"{where}.number is missing: set the path of the number")
    return PhonePlace(**{name: str(value) for name, value in place.items()}, kinds=kinds)


def _email(where: str, written: Any) -> EmailPlace:
    place = {name: str(value) for name, value in own(where, written, ("address", "each", "unless")).items() if value is not None}
    if not place.get("address"):
        raise ValueError(f"{where}.address is missing: set the path of the address")
    return EmailPlace(**place)


def _list(name: str, value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{name} is a list: write it with a '-' for each entry")
    return list(value)
