"""HL7 v2 files on an SFTP server (``adapters.folders.sftp``)."""

from __future__ import annotations

from adapters.base import SourceSettings
from adapters.folders.sftp import SftpDrop
from adapters.hl7v2.files import FilesAdapter


class SftpAdapter(FilesAdapter):
    """Reads the remote drop folder of one source. Building it raises ``ValueError`` for an unreadable key."""

    def __init__(self, settings: SourceSettings) -> None:
        super().__init__(settings, SftpDrop(settings.options))
