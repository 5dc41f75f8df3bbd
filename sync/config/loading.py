"""The configuration file and the environment -> frozen settings, or every error at once. The only reader of both."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any, NamedTuple

from adapters.base import SourceSettings
from adapters.registry import build
from store.runs.encryption import Sealing
from store.runs.rejection_room import Room
from store.users.unknown_alarm import Alarm
from sync.config import database
from sync.config.check import checked
from sync.config.document import Document, read
from sync.config.enterprises import enterprise, read_enterprises
from sync.config.exports import exports
from sync.config.model import EnterprisePart, Top
from sync.config.openid import openid
from sync.config.problems import ConfigError, ConfigProblem
from sync.config.providers import providers
from sync.config.secret import resolve
from sync.config.settings import AlertSettings, Backoff, ConfiguredSource, ConnectionLimits, SafeguardRule, Settings
from sync.config.sources import Build, WrittenSource, feed, read_sources, source
from sync.config.webhooks import webhooks
from sync.config.write_back import echoes
from sync.logs import Logging

VARIABLE = "EMR_SYNC_CONFIG"
DEFAULT = "config.yaml"
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}", re.IGNORECASE)


MoreChecks = Callable[[Document, Settings], None]


class LoadedConfig(NamedTuple):
    """``settings`` is ``None`` when there is an error, not just warnings."""

    settings: Settings | None
    mistakes: tuple[ConfigProblem, ...]


def chosen(given: str | None, environ: Mapping[str, str] = os.environ) -> FilePath:
    """The file that counts: the one given, else the environment's, else ``config.yaml`` here."""
    return FilePath(given or environ.get(VARIABLE) or DEFAULT)


def load(file: FilePath, environ: Mapping[str, str] = os.environ, build: Build = build) -> Settings:
    """The settings. Raises ``ConfigError`` with every error. ``build`` makes each source's adapter, which compiles its mapping."""
    reading = inspect(file, environ, build)
    if reading.settings is None:
        raise ConfigError(str(file), [one for one in reading.mistakes if not one.warning])
    return reading.settings


def load_to_look(file: FilePath, environ: Mapping[str, str] = os.environ) -> Settings:
    """As :func:`load`, for a command that asks no EMR and maps nothing: it need not wait for the adapters."""
    return load(file, environ, unbuilt)


def unbuilt(settings: SourceSettings) -> None:
    """The adapter that a command does not need."""


def no_more(document: Document, settings: Settings) -> None:
    """The checks beyond those that every command needs."""


def inspect(file: FilePath, environ: Mapping[str, str] = os.environ, build: Build = build, more: MoreChecks = no_more) -> LoadedConfig:
    """Reads and checks everything, and ``more`` of what could be read; raises nothing."""
    try:
        text = file.read_text("utf-8-sig")
    except OSError as error:
        message = f"cannot read the file ({error.strerror}); name it with -c, or in {VARIABLE}, or write one with emr-sync init"
        return LoadedConfig(None, (ConfigProblem(0, "", message),))
    except UnicodeDecodeError:
        return LoadedConfig(None, (ConfigProblem(0, "", "not UTF-8 text; save it as UTF-8"),))
    return inspect_text(text, file, environ, build, more)


def inspect_text(
    text: str, file: FilePath, environ: Mapping[str, str] = os.environ, build: Build = build, more: MoreChecks = no_more
) -> LoadedConfig:
    """As :func:`inspect`, of a text that is, or will be, in the file."""
    document = read(text)
    document.folder = file.parent
    settings = None if document.mistakes else _settings(document, file, environ, build)
    if settings is not None:
        more(document, settings)
    mistakes = tuple(sorted(document.mistakes, key=lambda one: one.line))
    return LoadedConfig(settings if all(one.warning for one in mistakes) else None, mistakes)


def _settings(document: Document, file: FilePath, environ: Mapping[str, str], build: Build) -> Settings | None:
    if not isinstance(document.data, dict):
        document.mistake((), "the file has no settings; remove it and start with emr-sync init, or from config.example.yaml")
        return None
    data = resolve(document, environ, file.parent)
    top = checked(document, (), Top, _present(data))
    parts = read_enterprises(document, data.get("enterprises")) if "enterprises" in data else {}
    sources = read_sources(document, data.get("sources"))
    _names(document, data)
    if top is not None:
        database.check_address(document, top.database)
    feeds = _feeds(document, sources, parts, build)
    provider = openid(document, top.openid if top else None, data["enterprises"] if isinstance(data.get("enterprises"), dict) else ())
    public_url = top.api.public_url if top else None
    messaging = providers(document, data.get("providers"), parts, sources, public_url)
    told = webhooks(document, data.get("webhooks"), parts)
    lists = exports(document, data.get("exports"), {name: part.time_zone for name, part in parts.items()})
    joined = None if top is None else _joined(file, top, parts, sources, feeds)
    return None if joined is None else replace(joined, openid=provider, providers=messaging, webhooks=told, exports=lists)


def _present(data: Mapping[str, Any]) -> dict[str, Any]:
    """Groups that were left empty count as groups without settings."""
    return {key: {} if value is None and key != "database" else value for key, value in data.items()}


def _names(document: Document, data: Mapping[str, Any]) -> None:
    """Names stand in logs, metrics and addresses, so they are kept plain."""
    for group in ("enterprises", "sources", "providers", "webhooks", "exports"):
        for name in data[group] if isinstance(data.get(group), dict) else ():
            if not NAME.fullmatch(name):
                document.mistake((group, name), "invalid name; use letters, digits, '-', '_' and '.', at most 63")


def _feeds(
    document: Document, sources: Mapping[str, WrittenSource], parts: Mapping[str, EnterprisePart], build: Build
) -> dict[str, ConfiguredSource]:
    if not isinstance(document.data.get("enterprises"), dict):
        return {}
    found = {name: feed(document, name, written, parts, build) for name, written in sources.items()}
    return {name: one for name, one in found.items() if one is not None}


def _joined(
    file: FilePath,
    top: Top,
    parts: Mapping[str, EnterprisePart],
    sources: Mapping[str, WrittenSource],
    feeds: Mapping[str, ConfiguredSource],
) -> Settings:
    echoed = echoes({name: one.part.write_back for name, one in sources.items()})
    none: frozenset[str] = frozenset()
    of = {
        name: [source(key, one, part, echoed.get(key, none)) for key, one in sources.items() if one.part.enterprise == name]
        for name, part in parts.items()
    }
    return Settings(
        file=str(file),
        database=database.located(top.database, file.parent),
        enterprises={name: enterprise(name, part, of[name]) for name, part in parts.items()},
        feeds=feeds,
        listen=top.api.listen,
        tls=top.api.tls.model_dump(exclude_none=True) if top.api.tls else None,
        trusted_proxies=tuple(top.api.trusted_proxies),
        plain=top.api.plain,
        public_url=top.api.public_url,
        logs=Logging(top.logs.level, top.logs.format),
        access_log=top.api.access_log,
        connections=ConnectionLimits(top.api.connections, top.api.connections_per_address),
        unknown=Alarm(**top.api.unknown_patients.model_dump()),
        session_idle=top.api.session_idle,
        session_longest=top.api.session_longest,
        backoff=Backoff(top.retry.attempts, top.retry.first_wait, top.retry.longest_wait),
        batch_size=top.batch_size,
        batch_bytes=top.batch_bytes,
        room=Room(top.rejections.rows_per_hour, top.rejections.bytes_per_hour),
        parallel=top.work.parallel,
        silence=top.work.silence,
        sealing=Sealing(top.payload_keys.current, top.payload_keys.keys) if top.payload_keys else None,
        keep_payloads=top.keep_payloads,
        keep_receipts=top.keep_receipts,
        keep_audit_log=top.keep_audit_log,
        alerts=AlertSettings(tuple(top.alerts.to), top.alerts.repeat, frozenset(top.alerts.about)),
        safeguards={
            name: SafeguardRule(part.safeguard.floor, part.safeguard.percent, part.safeguard.expires) for name, part in parts.items()
        },
    )
