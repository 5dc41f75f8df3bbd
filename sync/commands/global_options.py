"""Opens the program's runtime for a command, with the configuration from the options before it."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from store.domain.lock import Actor
from sync.commands import configured, output
from sync.config import load_to_look
from sync.proposing import held_notice
from sync.runtime import Runtime


@contextmanager
def opened(context: typer.Context) -> Iterator[Runtime]:
    """The runtime for reading. The configuration in force is not changed, even if the file differs."""
    with _closing(Runtime.open_to_read(load_to_look(configured.file(context)))) as runtime:
        yield runtime


@contextmanager
def mapping(context: typer.Context) -> Iterator[Runtime]:
    """The runtime for mapping payloads: the sources' mappings are checked first."""
    with _closing(Runtime.open_to_read(configured.settings(context))) as runtime:
        yield runtime


@contextmanager
def working(context: typer.Context) -> Iterator[Runtime]:
    """The runtime for applying data from EMRs: first puts the configuration in force, unless the safeguard holds it."""
    with _closing(Runtime.open(configured.settings(context))) as runtime:
        yield runtime


@contextmanager
def _closing(runtime: Runtime) -> Iterator[Runtime]:
    """First notes if the configuration in force differs from the file; closes the runtime at the end."""
    try:
        for name in runtime.settings.enterprises:
            current = runtime.configurations.state(name)
            if current.held is not None:
                output.note(f"{name}: {held_notice(current.held)}")
            elif current.in_force not in (None, runtime.settings.enterprises[name].own_basis):
                output.note(f"{name}: the changes in this file are not in force yet; serve, resync or ingest will apply them")
        yield runtime
    finally:
        runtime.close()


def person() -> Actor:
    """The user who runs the command, from the operating system."""
    number = os.geteuid()
    try:
        return Actor("cli", pwd.getpwuid(number).pw_name)
    except KeyError:
        return Actor("cli", f"uid {number}")


def who() -> str:
    """The user who runs the command, for the audit log."""
    return str(person())
