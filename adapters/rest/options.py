"""The settings of a JSON source, read and checked once. Pure.

``record`` has the paths of a patient's standard parts, ``list`` how patients are requested; a preset provides both. A wrong setting raises
``ValueError`` with its name and what it accepts.
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
class PhonePaths:
    """Paths of phones. Without ``each``: one phone at ``number``. With it: one in each entry of that list.

    ``kind``: the use of the number; ``kinds`` translates the text at ``kind_from``. An entry with a value at ``unless`` is not in use.
    """

    number: str
    kind: str = PhoneKind.OTHER.value
    each: str = ""
    kind_from: str = ""
    kinds: Plain = field(default_factory=dict)
    rank: str = ""
    unless: str = ""


@dataclass(frozen=True, slots=True)
class EmailPaths:
    """Paths of e-mail addresses, in the same way."""

    address: str
    each: str = ""
    unless: str = ""


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """Paths of a record's standard parts (``adapters/rest/path.py``); empty if the EMR has none.

    ``patient_id``: the identifier that the source's ``patient_id`` selects. ``updated``: when the record last changed; without it the time
    of the response counts. ``merged_into``: the id of the record that this one was merged into.
    """

    id: str
    patient_id: str = ""
    name: tuple[str, ...] = ()
    phones: tuple[PhonePaths, ...] = ()
    emails: tuple[EmailPaths, ...] = ()
    updated: str = ""
    merged_into: str = ""


@dataclass(frozen=True, slots=True)
class ListOptions:
    """How patients are requested: the path below ``base_url``, the path of the records in a response (``items``), and paging.

    ``next``: the path of the link to the next page. ``offset`` and ``limit``: the parameters for paging by number instead. ``since``: the
    parameter for changes since a time, in the format ``since_format``; without it everything is read. ``one``: the path of one patient,
    with ``{id}``. ``total``: the path of the announced number of records, and ``errors`` that of errors among them. Fewer records, or an
    error, mean that the list is incomplete.
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
    """How the server is reached. ``timeout``: seconds for each response."""

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
        emails=tuple(EmailPaths(**_written(one)) for one in part.get("emails") or ()),
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


def _phone(part: Plain) -> PhonePaths:
    kinds = {code.casefold(): kind for code, kind in (part.get("kinds") or {}).items()}
    return PhonePaths(**{**_written(part), "kinds": kinds})


def _written(part: Plain) -> dict[str, Any]:
    """The settings that have a value, by name."""
    return {name: value for name, value in part.items() if value is not None}
