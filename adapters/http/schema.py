"""Settings of every source that is read over HTTP."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from adapters.schema import OneOrMore, Seconds, SettingsGroup, web_address


def base_url(value: str) -> str:
    if "?" in value:
        raise ValueError("must not have a query; write https://host/path")
    return web_address(value).rstrip("/")


BaseUrl = Annotated[str, AfterValidator(base_url)]


class PageLimits(SettingsGroup):
    """The maximum size of a response, decompressed, and the maximum time for one."""

    max_page_bytes: OneOrMore | None = None
    page_deadline: Seconds | None = None


class RequestBudget(SettingsGroup):
    """How many requests a source may make, and when; kept across restarts. ``quiet_hours``: ``07:00-19:00``, in the source's time zone."""

    requests_per_minute: Annotated[float, Field(gt=0, le=60_000)] | None = None
    quiet_hours: list[str] = Field(default_factory=list)
