"""``reload``: has the serving processes on this machine read their configuration again, and tells what became of it."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import typer

from store.runs.processes import Processes, Reload, Seen, is_silent
from sync.commands import configured, output
from sync.commands.output import AsJson
from sync.config import ConfigError, inspect
from sync.config.problems import UsageError

PATIENCE = 60.0
"""Seconds. A listener that is replaced answers first what it has received, and waits for peers that do not read."""
LOOK_EVERY = 0.2
NOBODY = "no serving process of this database runs on this machine; run this where emr-sync serve runs, or start it"
NO_ANSWER = "no result yet: see the log of the process"
NOT_OURS = "belongs to another user: run this as the user of the service, or use systemctl reload"
NOT_FOUND = "not found: its last heartbeat is a few seconds old, so it may have just ended"


def reload(context: typer.Context, as_json: AsJson = False) -> None:
    """Have each serving process on this machine read its configuration again. An invalid file changes nothing: exit code 2."""
    from sync.config.whole import check_to_reload
    from sync.runtime import connected

    file = configured.file(context)
    found = inspect(file, more=check_to_reload)
    if found.settings is None:
        raise ConfigError(str(file), [one for one in found.mistakes if not one.warning])
    database = connected(found.settings)
    try:
        results = _reload_all(Processes(database))
    finally:
        database.close()
    if as_json:
        output.emit([{"process": name, "reloaded": not why, "why_not": why} for name, why in results.items()])
    else:
        for name, why in results.items():
            output.say(f"{name}: {why or 'reloaded'}")
    if any(results.values()):
        raise typer.Exit(1)


def _reload_all(processes: Processes) -> dict[str, str]:
    """Process -> why it still has the former configuration; empty if it has the new one."""
    here = f"{socket.gethostname()}:"
    alive = [one for one in processes.read() if not is_silent(one, processes.now())]
    before = _reloads(one for one in alive if one.process.startswith(here))
    if elsewhere := sorted({one.process for one in alive} - before.keys()):
        output.note(f"also run this on the other machines: {', '.join(elsewhere)}")
    if not before:
        raise UsageError(NOBODY)
    results = {name: _signalled(int(name.removeprefix(here))) for name in before}
    waiting = {name for name, why in results.items() if not why}
    results |= _ended(processes, {name: before[name] for name in waiting})
    return results


def _signalled(process: int) -> str:
    """Sends the signal; says why it could not. The number may belong to another program by now, which SIGHUP would end."""
    command = Path(f"/proc/{process}/cmdline")
    if command.parent.parent.exists() and not (command.exists() and b"\0serve\0" in command.read_bytes()):
        return NOT_FOUND
    try:
        os.kill(process, signal.SIGHUP)
    except ProcessLookupError:
        return NOT_FOUND
    except PermissionError:
        return NOT_OURS
    return ""


def _ended(processes: Processes, before: Mapping[str, Reload | None]) -> dict[str, str]:
    """Waits for the result of each process."""
    deadline, ended = time.monotonic() + PATIENCE, dict[str, str]()
    while len(ended) < len(before) and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY)
        for name, last in _reloads(one for one in processes.read() if one.process in before).items():
            if last is not None and last != before[name]:
                ended[name] = last.why_not
    return {name: ended.get(name, NO_ANSWER) for name in before}


def _reloads(found: Iterable[Seen]) -> dict[str, Reload | None]:
    return {one.process: one.reload for one in found}
