"""How records in files are found again without the file's name: names often hold a patient's number or name. Pure."""

from __future__ import annotations

from hashlib import blake2b

SHORT, LONG = 6, 16  # bytes


def opaque(name: str) -> str:
    """``file-3f9a1c2b77d0``: the same for the same name. ``b2sum -l 48`` of the name gives it to who has the file (docs/operations.md)."""
    return f"file-{_digest(name, SHORT)}"


def key(name: str) -> str:
    """A longer one, for what is remembered about a file."""
    return _digest(name, LONG)


def _digest(name: str, size: int) -> str:
    return blake2b(name.encode("utf-8", "surrogateescape"), digest_size=size).hexdigest()
