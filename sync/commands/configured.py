"""The configuration and enterprise of a command. Needs no database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sync.config import Settings, chosen, load
from sync.config.problems import UsageError

SQLITE = "sqlite:///"
OfEnterprise = Annotated[str | None, typer.Option("--enterprise", help="The enterprise. Optional if only one is configured.")]


def file(context: typer.Context) -> Path:
    """The file from ``--config``, from the environment, or ``config.yaml`` in the current folder."""
    return chosen(context.find_root().params.get("config"))


def source_names(context: typer.Context, incomplete: str) -> list[str]:
    """The sources that a shell may complete. Nothing is checked: a configuration with errors has names, too."""
    from sync.config.document import read

    try:
        found = read(file(context).read_text("utf-8-sig")).data["sources"]
        return sorted(name for name in found if name.startswith(incomplete))
    except Exception:  # completion never fails
        return []


SourceName = Annotated[str, typer.Argument(metavar="SOURCE", help="A configured source.", autocompletion=source_names)]


def settings(context: typer.Context) -> Settings:
    """The checked configuration. Raises ``ConfigError``."""
    return load(file(context))


def has_database(settings: Settings) -> bool:
    """Whether there may be a database: an existing SQLite file, or a server."""
    path = settings.database.removeprefix(SQLITE)
    return path == settings.database or Path(path).exists()


def enterprise(settings: Settings, option: str | None) -> str:
    """The enterprise: the one in the option, or the only one configured."""
    if option is None and len(settings.enterprises) == 1:
        return next(iter(settings.enterprises))
    if option is None or option not in settings.enterprises:
        problem = f"unknown enterprise {option!r}" if option else "several enterprises are configured"
        raise UsageError(f"{problem}; use --enterprise with one of {', '.join(settings.enterprises)}")
    return option
