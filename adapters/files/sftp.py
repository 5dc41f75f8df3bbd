"""The adapter ``files.sftp``: delimited files on an SFTP server (``adapters.folders.sftp``)."""

from __future__ import annotations

from adapters.base import SourceSettings
from adapters.files.adapter import DelimitedAdapter
from adapters.folders.sftp import SftpDrop


class DelimitedSftpAdapter(DelimitedAdapter):
    """Reads the remote drop folder of one source. Building it raises ``ValueError`` for an unreadable key."""

    def __init__(self, settings: SourceSettings) -> None:
        super().__init__(settings, SftpDrop(settings.options))
