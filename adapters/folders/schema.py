"""The settings of drop folders: names and kinds. What is not written is left to the folder's own default."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from adapters.schema import HostName, Seconds, SecondsOrForever, SettingsGroup


class FolderOptions(SettingsGroup):
    """What every drop folder has."""

    settle: Seconds | None = None
    after: Literal["move", "keep"] | None = None
    keep_done: SecondsOrForever | None = None


class LocalOptions(FolderOptions):
    """A folder on this machine."""

    path: str


class SftpServerOptions(SettingsGroup):
    """An SFTP server and a folder on it."""

    host: HostName
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    user: str
    password: str | None = None
    private_key: str | None = None
    host_key: str | list[str]
    path: str | None = None
    timeout: Seconds | None = None


class SftpOptions(FolderOptions, SftpServerOptions):
    """A drop folder on an SFTP server."""
