"""One source as the engine sees it: its name, and whose it is."""

from __future__ import annotations

from typing import NamedTuple


class Lane(NamedTuple):
    """Where what a source states goes to."""

    source: str
    enterprise: str
