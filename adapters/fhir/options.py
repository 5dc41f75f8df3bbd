"""The settings of a FHIR source, read and checked once. Pure.

A wrong value raises ``ValueError`` with the name of the option and what it accepts.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from adapters.base import SourceSettings
from adapters.http.budget import BudgetLimits
from adapters.http.download import DownloadLimits
from adapters.http.options import base_url, download, limits
from adapters.options import listed, number
from store.preference import DO_NOT_CONTACT

EVERY = "*"
LATEST, MOST_RESTRICTIVE = "latest", "most_restrictive"


@dataclass(frozen=True, slots=True)
class ConsentOptions:
    """Which Consents are about messages. ``category`` and ``scope``: ``code`` or ``system|code``; empty or ``*`` accepts any.

    ``statuses``: those in which a Consent's decision counts. ``attribute``: what permit and deny decide. ``choose``: which of several
    Consents of one patient counts, the ``latest`` or the ``most_restrictive``.
    """

    attribute: str = ""
    statuses: tuple[str, ...] = ("active",)
    category: tuple[str, ...] = ()
    scope: tuple[str, ...] = ()
    every: bool = False  # whether "any" was written
    choose: str = LATEST


@dataclass(frozen=True, slots=True)
class FlagOptions:
    """Which Flags refuse what. ``codes``: ``code`` or ``system|code``. ``attribute``: what such a Flag refuses."""

    codes: tuple[str, ...] = ()
    attribute: str = DO_NOT_CONTACT


@dataclass(frozen=True, slots=True)
class MapperOptions:
    """The options of the mapping, besides the rules."""

    base_url: str = ""
    other_base_urls: tuple[str, ...] = ()  # further base URLs that the server's own records use in references
    telecom: tuple[str, ...] = ()  # URLs of extensions of the Patient that hold contact points
    understood: tuple[str, ...] = ()  # modifier extensions and implicit rules that do not matter here
    trust_last_updated: bool = True
    consent: ConsentOptions = ConsentOptions()
    flag: FlagOptions = FlagOptions()


@dataclass(frozen=True, slots=True)
class RestOptions:
    """How the server is reached and read. ``search``: additional search parameters, for servers that require some.

    ``overlap``: how far before the cursor a run starts. ``timeout``: seconds for each response. ``trust_total``: a search with fewer
    records than its Bundle announces is incomplete.
    """

    base_url: str
    auth: Mapping[str, Any] = field(default_factory=dict)
    read: str = "auto"  # auto | incremental | full | crawl
    group: str = ""  # the group whose members are read one by one
    page_size: int = 200
    overlap: timedelta = timedelta(minutes=5)
    timeout: float = 60.0
    search: Mapping[str, str] = field(default_factory=dict)
    ca: str = ""  # certificates (PEM) to trust in addition to the public ones
    trust_total: bool = True
    limits: BudgetLimits = field(default_factory=BudgetLimits)
    download: DownloadLimits = field(default_factory=DownloadLimits)


def mapper_options(settings: SourceSettings) -> MapperOptions:
    options = settings.options
    return MapperOptions(
        base_url=str(options.get("base_url") or "").rstrip("/"),
        other_base_urls=listed(options, "other_base_urls"),
        telecom=listed(options, "telecom"),
        understood=listed(options, "understood"),
        trust_last_updated=bool(options.get("trust_last_updated", True)),
        consent=_consent(options.get("consent") or {}),
        flag=_flag(options.get("flag") or {}),
    )


def rest_options(settings: SourceSettings) -> RestOptions:
    options = settings.options
    return RestOptions(
        base_url=base_url(options, "the server's FHIR endpoint"),
        auth=options.get("auth") or {},
        read=_read(options),
        group=str(options.get("group") or ""),
        page_size=int(options.get("page_size") or 200),
        overlap=timedelta(seconds=number(options, "overlap", 300, least=0, most=30 * 86400)),
        timeout=number(options, "timeout", 60, least=1, most=3600),
        search=options.get("search") or {},
        ca=_certificates(str(options.get("ca") or "")),
        trust_total=bool(options.get("trust_total", True)),
        limits=limits(options, settings.time_zone),
        download=download(options),
    )


def reads_some(options: Mapping[str, Any]) -> bool:
    """Whether a source reads only some of the server's patients: the members of a group, or what a search finds."""
    export = options.get("export")
    group = options.get("group") or (export.get("group") if isinstance(export, Mapping) else None)
    return bool(group or options.get("search"))


def _consent(part: Mapping[str, Any]) -> ConsentOptions:
    return ConsentOptions(
        attribute=str(part.get("attribute") or ""),
        statuses=listed(part, "statuses") or ("active",),
        category=_named(part, "category"),
        scope=_named(part, "scope"),
        every=EVERY in (*listed(part, "category"), *listed(part, "scope")),
        choose=part.get("choose") or LATEST,
    )


def _named(part: Mapping[str, Any], name: str) -> tuple[str, ...]:
    codes = listed(part, name)
    return () if EVERY in codes else codes


def _flag(part: Mapping[str, Any]) -> FlagOptions:
    return FlagOptions(listed(part, "codes"), str(part.get("attribute") or DO_NOT_CONTACT))


def _read(options: Mapping[str, Any]) -> str:
    read = str(options.get("read") or "auto")
    if read == "crawl" and not options.get("group"):
        raise ValueError("read: crawl needs group, the id of the group whose members are read one by one")
    return read


def _certificates(pem: str) -> str:
    try:
        if pem:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError):
        raise ValueError("ca is not a certificate: give the PEM file of the authority as file:PATH") from None
    return pem
