"""Options of every source that is read over HTTP: the server's address, the budget, and the limits of a download. Pure.

A wrong value is a ``ValueError`` that names the option and what it takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from adapters.http.budget import BudgetLimits, quiet_hours
from adapters.http.download import DownloadLimits
from adapters.options import listed, number, section

PAGE_LIMITS = ("max_page_bytes", "page_deadline")
FILE_LIMITS = (*PAGE_LIMITS, "max_file_bytes", "max_line_bytes", "file_deadline")
LIMITS = ("requests_per_minute", "parallel", "quiet_hours", "bulk_every")


def base_url(options: Mapping[str, Any], what: str) -> str:
    """The server's address without a slash at its end; ``what`` says which one is meant."""
    url = str(options.get("base_url") or "").rstrip("/")
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"base_url is missing or not an HTTP URL: give {what}")
    return url


def limits(options: Mapping[str, Any], time_zone: str, known: tuple[str, ...] = LIMITS) -> BudgetLimits:
    """The source's ``budget``; ``known`` are the limits that its protocol can keep."""
    part = section("budget", options.get("budget") or {}, known)
    return BudgetLimits(
        requests_per_minute=number(part, "requests_per_minute", 0, least=0, most=60_000),
        parallel=int(number(part, "parallel", 4, least=1, most=32)),
        quiet=tuple(quiet_hours(text) for text in listed(part, "quiet_hours")),
        bulk_every=timedelta(seconds=number(part, "bulk_every", 0, least=0, most=90 * 86400)),
        time_zone=time_zone,
    )


def download(options: Mapping[str, Any], known: tuple[str, ...] = PAGE_LIMITS) -> DownloadLimits:
    """The source's ``download``: how large answers may be, and how long they may take."""
    part, defaults = section("download", options.get("download") or {}, known), DownloadLimits()
    return DownloadLimits(
        max_page_bytes=int(number(part, "max_page_bytes", defaults.max_page_bytes, least=1, most=2**40)),
        max_file_bytes=int(number(part, "max_file_bytes", defaults.max_file_bytes, least=1, most=2**40)),
        max_line_bytes=int(number(part, "max_line_bytes", defaults.max_line_bytes, least=1, most=2**40)),
        page_deadline=number(part, "page_deadline", defaults.page_deadline, least=0.01, most=86_400),
        file_deadline=number(part, "file_deadline", defaults.file_deadline, least=0.01, most=7 * 86_400),
    )
