"""Limits connections so that enough file descriptors remain for the database, files and runs.

Without a limit, one listener's connections could use up the descriptors of other listeners, the API and the database.
"""

from __future__ import annotations

import resource
from collections.abc import Mapping

OWN = 192
"""Kept for other uses than callers' connections: the database's pool, files, runs and their downloads."""
LEAST = 4
"""Connections that each listener may have in any case."""


def available(wanted: int) -> int:
    """How many this process may have: as many as are ``wanted``, where the system's hard limit allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= enough:
        return wanted if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))
    return enough


def shares(limit: int, wanted: Mapping[str, int]) -> dict[str, int]:
    """How many connections each listener may have, by its name: what it wants, or its share of what the limit leaves. Pure."""
    total, room = sum(wanted.values()), limit - min(OWN, limit // 2)
    if total <= room:
        return dict(wanted)
    return {name: max(min(LEAST, number), number * room // total) for name, number in wanted.items()}
