"""The version of the installed program."""

from __future__ import annotations

from functools import cache


@cache
def version() -> str:
    """As in ``emr-sync --version``; ``0`` if the program runs from a folder and is not installed."""
    from importlib import metadata  # slow to import

    try:
        return metadata.version("emr-sync")
    except metadata.PackageNotFoundError:
        return "0"
