"""Options of every source that is read over HTTP: the server's address, the budget, and the limits of a download. Pure.

A wrong value is a ``ValueError`` that names the option and what it takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from adapters.http.budget import BudgetLimits, quiet_hours
from adapters.http.download import DownloadLimits
from adapters.options import listed, number


def base_url(options: Mapping[str, Any], what: str) -> str:
    """The server's URL without a trailing slash. ``what``: which URL is meant, for the error."""
    url = str(options.get("base_url") or "").rstrip("/")
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"base_url is missing or not an HTTP URL: give {what}")
    return url


def limits(options: Mapping[str, Any], time_zone: str) -> BudgetLimits:
    """The source's ``budget``."""
    part = options.get("budget") or {}
    return BudgetLimits(
        requests_per_minute=float(part.get("requests_per_minute") or 0),
        parallel=int(part.get("parallel") or 4),
        quiet=tuple(quiet_hours(text) for text in listed(part, "quiet_hours")),
        bulk_every=timedelta(seconds=number(part, "bulk_every", 0, least=0, most=90 * 86400)),
        time_zone=time_zone,
    )


def download(options: Mapping[str, Any]) -> DownloadLimits:
    """The source's ``download``: how large answers may be, and how long they may take."""
    part, defaults = options.get("download") or {}, DownloadLimits()
    return DownloadLimits(
        max_page_bytes=int(number(part, "max_page_bytes", defaults.max_page_bytes, least=1, most=2**40)),
        max_file_bytes=int(number(part, "max_file_bytes", defaults.max_file_bytes, least=1, most=2**40)),
        max_line_bytes=int(number(part, "max_line_bytes", defaults.max_line_bytes, least=1, most=2**40)),
        page_deadline=number(part, "page_deadline", defaults.page_deadline, least=0.01, most=86_400),
        file_deadline=number(part, "file_deadline", defaults.file_deadline, least=0.01, most=7 * 86_400),
    )
