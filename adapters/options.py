"""Reading the options of a source, for every protocol alike: a preset's under the site's own, as text where YAML gives text. Pure.

A wrong value is a ``ValueError`` that names the option and what it takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from adapters.base import SourceSettings
from adapters.budget import Limits, quiet_hours
from adapters.download import DownloadLimits

TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
PAGE_LIMITS = ("max_page_bytes", "page_deadline")
FILE_LIMITS = (*PAGE_LIMITS, "max_file_bytes", "max_line_bytes", "file_deadline")
LIMITS = ("requests_per_minute", "parallel", "quiet_hours", "bulk_every")


def joined(settings: SourceSettings) -> dict[str, Any]:
    """The preset's options under the site's own."""
    return {**(settings.preset.get("options") or {}), **settings.options}


def base_url(options: Mapping[str, Any], what: str) -> str:
    """The server's address without a slash at its end; ``what`` says which one is meant."""
    url = str(options.get("base_url") or "").rstrip("/")
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"base_url is missing or no http address: give {what}")
    return url


def limits(options: Mapping[str, Any], time_zone: str, known: tuple[str, ...] = LIMITS) -> Limits:
    """The source's ``budget``; ``known`` are the limits that its protocol can keep."""
    part = own("budget", options.get("budget") or {}, known)
    return Limits(
        requests_per_minute=number(part, "requests_per_minute", 0, least=0, most=60_000),
        parallel=int(number(part, "parallel", 4, least=1, most=32)),
        quiet=tuple(quiet_hours(text) for text in listed(part, "quiet_hours")),
        bulk_every=timedelta(seconds=number(part, "bulk_every", 0, least=0, most=90 * 86400)),
        time_zone=time_zone,
    )


def download(options: Mapping[str, Any], known: tuple[str, ...] = PAGE_LIMITS) -> DownloadLimits:
    """The source's ``download``: how large answers may be, and how long they may take."""
    part, defaults = own("download", options.get("download") or {}, known), DownloadLimits()
    return DownloadLimits(
        max_page_bytes=int(number(part, "max_page_bytes", defaults.max_page_bytes, least=1, most=2**40)),
        max_file_bytes=int(number(part, "max_file_bytes", defaults.max_file_bytes, least=1, most=2**40)),
        max_line_bytes=int(number(part, "max_line_bytes", defaults.max_line_bytes, least=1, most=2**40)),
        page_deadline=number(part, "page_deadline", defaults.page_deadline, least=0.01, most=86_400),
        file_deadline=number(part, "file_deadline", defaults.file_deadline, least=0.01, most=7 * 86_400),
    )


def own(name: str, options: Any, known: tuple[str, ...]) -> Mapping[str, Any]:
    """The settings that stand under one name."""
    if not isinstance(options, Mapping):
        raise ValueError(f"{name} takes settings of its own: {', '.join(known)}")
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"{name}.{unknown[0]} is not known: use {', '.join(known)}")
    return options


def switch(options: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """A yes-or-no option."""
    value = options.get(name)
    text = str(value).lower()
    if value is None or text in TRUE or text in FALSE:
        return default if value is None else text in TRUE
    raise ValueError(f"{name} is {value!r}: use true or false")


def listed(options: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A list of texts; one text alone is a list of one."""
    value = options.get(name)
    if value is None:
        return ()
    return tuple(str(one) for one in value) if isinstance(value, (list, tuple)) else (str(value),)


def texts(options: Mapping[str, Any], name: str) -> dict[str, str]:
    """Names and texts."""
    return {str(key): str(value) for key, value in (options.get(name) or {}).items()}


def number(options: Mapping[str, Any], name: str, default: float, *, least: float, most: float) -> float:
    """A number within bounds."""
    value = default if options.get(name) is None else options[name]
    try:
        made = float(value)
    except (TypeError, ValueError):
        made = least - 1
    if not least <= made <= most:
        raise ValueError(f"{name} is {value!r}: use a number from {least:g} to {most:g}")
    return made


def one_of(options: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> str:
    """One of a few words; the first is the default."""
    value = str(options.get(name) or allowed[0])
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}: use one of {', '.join(allowed)}")
    return value
