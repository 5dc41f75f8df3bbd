"""The options before the command: which configuration."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from store.domain.lock import Actor
from sync.commands import configured, output
from sync.config import load_to_look
from sync.proposing import told
from sync.runtime import Parts


@contextmanager
def opened(context: typer.Context) -> Iterator[Parts]:
    """The program's parts for reading: the configuration in force stays, whatever the file says."""
    with _closing(Parts.looking(load_to_look(configured.file(context)))) as parts:
        yield parts


@contextmanager
def mapping(context: typer.Context) -> Iterator[Parts]:
    """The same for what maps payloads: the sources' mappings are checked before."""
    with _closing(Parts.looking(configured.settings(context))) as parts:
        yield parts


@contextmanager
def working(context: typer.Context) -> Iterator[Parts]:
    """The same for applying data from EMRs: first puts the configuration into force, unless the safeguard holds it."""
    with _closing(Parts.open(configured.settings(context))) as parts:
        yield parts


@contextmanager
def _closing(parts: Parts) -> Iterator[Parts]:
    """Notes first where the configuration in force differs from the file."""
    try:
        for name in parts.settings.enterprises:
            standing = parts.configurations.standing(name)
            if standing.held is not None:
                output.note(f"{name}: {told(standing.held)}")
            elif standing.in_force not in (None, parts.settings.enterprises[name].own_basis):
                output.note(f"{name}: the changes in this file are not in force yet; serve, resync or ingest will apply them")
        yield parts
    finally:
        parts.close()


def person() -> Actor:
    """Who calls the command, as the operating system knows them."""
    number = os.geteuid()
    try:
        return Actor("cli", pwd.getpwuid(number).pw_name)
    except KeyError:
        return Actor("cli", f"uid {number}")


def who() -> str:
    """The same, for the audit log."""
    return str(person())
