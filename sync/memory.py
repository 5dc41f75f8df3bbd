"""How much more memory this process can get: by its own limit, its control group's, and the machine's (Linux; elsewhere unknown)."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

LOW = 64 * 1024 * 1024
"""Bytes: as much as checking one password takes."""
SHORT = "less than 64 MiB of memory is left: raise the limit of this process, or stop other programs on this machine"
FAILED = "a request was not processed for lack of memory: raise the limit of this process, or stop other programs on this machine"
GROUPS = Path("/sys/fs/cgroup")
PROCESSES = Path("/proc")


def available(processes: Path = PROCESSES, groups: Path = GROUPS) -> int | None:
    """Bytes; ``None`` where nothing tells."""
    found = (_of_process(processes), _of_group(processes, groups), _of_machine(processes))
    return min((one for one in found if one is not None), default=None)


def _of_process(processes: Path) -> int | None:
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    with suppress(OSError, ValueError, IndexError):
        return max(0, limit - int((processes / "self" / "statm").read_text().split()[0]) * resource.getpagesize())
    return None


def _of_group(processes: Path, groups: Path) -> int | None:
    """Of version 2, as systemd and containers use. What was read from files and can be read again is not used up."""
    with suppress(OSError, ValueError, IndexError, KeyError):
        path = (processes / "self" / "cgroup").read_text().partition("0::/")[2].split("\n")[0]
        group = groups / path if (groups / path / "memory.max").exists() else groups
        limit, used = int((group / "memory.max").read_text()), int((group / "memory.current").read_text())
        return max(0, limit - used + _numbers(group / "memory.stat")["inactive_file"])
    return None  # "max" is no number: without limit


def _of_machine(processes: Path) -> int | None:
    with suppress(OSError, ValueError, IndexError, KeyError):
        return _numbers(processes / "meminfo")["MemAvailable"] * 1024
    return None


def _numbers(file: Path) -> Mapping[str, int]:
    return {name.rstrip(":"): int(number) for name, number, *_ in map(str.split, file.read_text().splitlines())}
