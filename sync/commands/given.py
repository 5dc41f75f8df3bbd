"""What was given on the command line before the command: which configuration."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from store.lock import Actor
from sync.config import Settings, chosen, load
from sync.parts import Parts, Unusable


def settings(context: typer.Context) -> Settings:
    """The configuration, checked. Raises ``ConfigError``."""
    return load(chosen(context.find_root().params.get("config")))


@contextmanager
def opened(context: typer.Context) -> Iterator[Parts]:
    """The parts of the program over the configured database."""
    parts = Parts.open(settings(context))
    try:
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
