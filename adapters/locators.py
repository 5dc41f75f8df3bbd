"""Identifies files by a digest of the file name, because file names often contain a patient's number or name. Pure."""

from __future__ import annotations

from hashlib import blake2b

SHORT, LONG = 6, 16  # bytes


def opaque(name: str) -> str:
    """``file-3f9a1c2b77d0``, always the same for a name. ``b2sum -l 48`` of the name computes it (docs/troubleshooting.md)."""
    return f"file-{_digest(name, SHORT)}"


def key(name: str) -> str:
    """A longer digest, under which data about a file is stored."""
    return _digest(name, LONG)


def _digest(name: str, size: int) -> str:
    return blake2b(name.encode("utf-8", "surrogateescape"), digest_size=size).hexdigest()
