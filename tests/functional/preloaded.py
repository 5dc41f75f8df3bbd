"""What every forked program has behind it: the imports, and the models of the configuration, which are otherwise built at first use."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import adapters
import store
import sync
from adapters.schema import SettingsGroup

DRIVERS = ("alembic.command", "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.sqlite.pysqlite")


def _modules() -> Iterator[str]:
    """All our modules, except migrations: importing their environment runs them."""
    for package in (adapters, store, sync):
        yield from (f"{package.__name__}.{name}" for name in _below(Path(package.__path__[0])) if "migrations" not in name)


def _below(folder: Path, prefix: str = "") -> Iterator[str]:
    for found in pkgutil.iter_modules([str(folder)], prefix):
        yield found.name
        if found.ispkg:
            yield from _below(folder / found.name.rpartition(".")[2], f"{found.name}.")


def _build(model: type[SettingsGroup]) -> None:
    model.model_rebuild()
    for narrower in model.__subclasses__():
        _build(narrower)


for name in (*DRIVERS, *_modules()):
    importlib.import_module(name)
_build(SettingsGroup)
