"""Limits connections so that enough file descriptors remain for the database, files and runs.

Without a limit, one listener's connections could use up the descriptors of other listeners, the API and the database.
"""

from __future__ import annotations

import resource
from collections.abc import Mapping

OWN = 192
"""Descriptors reserved for other uses than callers' connections: the database's pool, files, runs and downloads."""
LEAST = 4
"""The connections that every listener may have at least."""


def available(wanted: int) -> int:
    """How many descriptors this process may have. Raises the soft limit to ``wanted``, as far as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= enough:
        return wanted if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))
    return enough


def shares(limit: int, wanted: Mapping[str, int]) -> dict[str, int]:
    """How many connections each listener may have, by name: what it wants, or its share of what is left. Pure."""
    total, room = sum(wanted.values()), limit - min(OWN, limit // 2)
    if total <= room:
        return dict(wanted)
    return {name: max(min(LEAST, number), number * room // total) for name, number in wanted.items()}
