"""What was given on the command line before the command: which configuration."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from store.lock import Actor
from sync.commands import output
from sync.config import Settings, chosen, load
from sync.parts import Parts, Unusable
from sync.proposing import told


def settings(context: typer.Context) -> Settings:
    """The configuration, checked. Raises ``ConfigError``."""
    return load(chosen(context.find_root().params.get("config")))


@contextmanager
def opened(context: typer.Context) -> Iterator[Parts]:
    """The parts of the program over the configured database, to look with: what is in force stays, whatever the file says."""
    with _closing(Parts.looking(settings(context))) as parts:
        yield parts


@contextmanager
def working(context: typer.Context) -> Iterator[Parts]:
    """The same to take in what EMRs say: the configuration is brought into force before, or the brake holds it."""
    with _closing(Parts.open(settings(context))) as parts:
        yield parts


@contextmanager
def _closing(parts: Parts) -> Iterator[Parts]:
    """Says first where something else than what the file says is in force."""
    try:
        for name in parts.settings.enterprises:
            standing = parts.configurations.standing(name)
            if standing.held is not None:
                output.note(f"{name}: {told(standing.held)}")
            elif standing.in_force not in (None, parts.settings.enterprises[name].own_basis):
                output.note(f"{name}: what this file changes is not in force yet: serve, resync and ingest bring it into force")
        yield parts
    finally:
        parts.close()


def enterprise(settings: Settings, given: str | None) -> str:
    """The enterprise meant: the one given, or the only one there is."""
    if given is None and len(settings.enterprises) == 1:
        return next(iter(settings.enterprises))
    if given is None or given not in settings.enterprises:
        asked = f"there is no enterprise {given!r}" if given else "there are several enterprises"
        raise Unusable(f"{asked}: say --enterprise and one of {', '.join(settings.enterprises)}")
    return given


def person() -> Actor:
    """Who calls the command, as the operating system knows them."""
    number = os.geteuid()
    try:
        return Actor("cli", pwd.getpwuid(number).pw_name)
    except KeyError:
        return Actor("cli", f"uid {number}")


def who() -> str:
    """The same, for the audit log."""
    return ":".join(person())
