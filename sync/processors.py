"""How many processors this process may use: by its affinity and its control group's limit (Linux; elsewhere all of the machine's)."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
PROCESSES = Path("/proc")


def usable(processes: Path = PROCESSES, groups: Path = GROUPS) -> float:
    """Processors; a limit may leave a fraction of one."""
    own = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    limit = _limit_of_group(processes, groups)
    return own if limit is None else min(own, limit)


def _limit_of_group(processes: Path, groups: Path) -> float | None:
    """Of version 2, as systemd and containers use; ``None`` without a limit."""
    with suppress(OSError, ValueError, IndexError):
        path = (processes / "self" / "cgroup").read_text().partition("0::/")[2].split("\n")[0]
        file = groups / path / "cpu.max"
        quota, period = (file if file.exists() else groups / "cpu.max").read_text().split()
        return int(quota) / int(period)
    return None  # "max" is no number: without limit
