"""The settings of a JSON API, read and checked once. Pure.

``list`` has how patients are requested; a preset provides it. A wrong setting raises ``ValueError`` with its name and what it accepts.
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
from adapters.options import number
from adapters.record.options import written

Plain = Mapping[str, Any]


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


def list_options(settings: SourceSettings) -> ListOptions:
    part = settings.options.get("list") or {}
    if not part.get("path"):
        raise ValueError("list.path is missing: set the path below base_url that lists patients, or use a preset")
    return ListOptions(**written(part))


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
