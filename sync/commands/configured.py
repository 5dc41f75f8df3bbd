"""Which configuration a command was given. Needs no database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sync.config import Settings, chosen, load
from sync.config.problems import UsageError

SQLITE = "sqlite:///"
OfEnterprise = Annotated[str | None, typer.Option("--enterprise", help="The enterprise. Optional if only one is configured.")]


def file(context: typer.Context) -> Path:
    """The one named before the command, else the environment's, else ``config.yaml`` here."""
    return chosen(context.find_root().params.get("config"))


def settings(context: typer.Context) -> Settings:
    """The configuration, checked. Raises ``ConfigError``."""
    return load(file(context))


def has_database(settings: Settings) -> bool:
    """Whether there may be a database to ask: an SQLite file that exists, or a server."""
    path = settings.database.removeprefix(SQLITE)
    return path == settings.database or Path(path).exists()


def enterprise(settings: Settings, given: str | None) -> str:
    """The enterprise meant: the one given, or the only one there is."""
    if given is None and len(settings.enterprises) == 1:
        return next(iter(settings.enterprises))
    if given is None or given not in settings.enterprises:
        asked = f"unknown enterprise {given!r}" if given else "several enterprises are configured"
        raise UsageError(f"{asked}; use --enterprise with one of {', '.join(settings.enterprises)}")
    return given
