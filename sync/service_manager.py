"""Tells the service manager how the process is (sd_notify(3)): ready, reloading, stopping, and alive for its watchdog.

Without systemd, ``NOTIFY_SOCKET`` is not set and nothing is sent.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"


def reloading() -> str:
    """The state at the beginning of a reload; :data:`READY` ends it."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"


def notify(state: str, environ: Mapping[str, str] = os.environ) -> None:
    """Sends a state. A service manager that does not listen does not matter."""
    if not (where := environ.get("NOTIFY_SOCKET")):
        return
    address = f"\0{where[1:]}" if where.startswith("@") else where
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as datagram:
        datagram.sendto(state.encode(), address)


def watchdog(environ: Mapping[str, str] = os.environ) -> float | None:
    """Seconds between two signs that the process is alive: half of what the service manager waits. ``None`` if it does not wait."""
    wanted, process = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not wanted.isdigit() or not int(wanted) or (process and process != str(os.getpid())):
        return None
    return int(wanted) / 2_000_000
