"""Why a whole set of files cannot be used. Pure."""

from __future__ import annotations


class FileRejected(Exception):
    """Raised for a set that must be rejected as a whole. ``detail`` says what to do and quotes nothing from the file."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(reason)
