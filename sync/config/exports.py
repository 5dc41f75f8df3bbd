"""The ``exports`` part: suppression lists that are written on a schedule, to a folder or from there to an SFTP server."""

from __future__ import annotations

from typing import Any, Literal

from adapters.folders.schema import SftpServerOptions
from adapters.schema import SettingsGroup
from store.preference import MessageType
from sync.config.check import checked
from sync.config.document import Document
from sync.config.model import SchedulePart
from sync.config.problems import Path, one_of
from sync.config.providers import Line
from sync.config.scheduling import schedule
from sync.config.settings import ConfiguredExport


class ExportsPart(SettingsGroup):
    """One list."""

    enterprise: str
    folder: str
    channel: Literal["sms", "voice", "email"] = "sms"
    line: Line | None = None
    type: MessageType = MessageType.AUTOMATION
    delta: bool = False
    schedule: SchedulePart
    sftp: SftpServerOptions | None = None


def exports(document: Document, data: Any, zones: dict[str, str]) -> dict[str, ConfiguredExport]:
    """Every valid export; each error is reported. ``zones``: enterprise -> its time zone."""
    if data is None:
        return {}
    if not isinstance(data, dict):
        document.mistake(("exports",), "must be a group of exports; indent each below it, as 'name:' with its settings indented further")
        return {}
    found = {name: _export(document, name, part, zones) for name, part in data.items()}
    return {name: one for name, one in found.items() if one is not None}


def _export(document: Document, name: str, data: Any, zones: dict[str, str]) -> ConfiguredExport | None:
    path: Path = ("exports", name)
    if not isinstance(data, dict):
        document.mistake(path, "must be a group of settings; indent them below it, as 'name: value'")
        return None
    part = checked(document, path, ExportsPart, data)
    if part is None:
        return None
    if part.enterprise not in zones:
        document.mistake((*path, "enterprise"), f"unknown enterprise {part.enterprise!r}. {one_of(part.enterprise, zones)}")
    if part.line is not None and part.channel != "sms":
        document.mistake((*path, "line"), "lines are for texts: an opt-out from calls or e-mail has no line; remove it")
    times = schedule(document, (*path, "schedule"), part.schedule, zones.get(part.enterprise, "UTC"))
    server = part.sftp.model_dump(exclude_unset=True) if part.sftp else None
    if server is not None:
        _check_server(document, (*path, "sftp"), server)
    if times is None:
        return None
    folder = str(document.folder / part.folder)
    return ConfiguredExport(name, part.enterprise, folder, times, part.channel, part.line, part.type.value, part.delta, server)


def _check_server(document: Document, path: Path, server: dict[str, Any]) -> None:
    from adapters.folders.sftp import SftpUpload  # most sites have none, and the library takes long to import

    try:
        SftpUpload(server)
    except ValueError as error:
        document.mistake(path, str(error))
