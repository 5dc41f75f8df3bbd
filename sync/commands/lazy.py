"""Commands by name, whose modules are imported only when they are called: no command waits for what another needs."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup
from typer.main import get_command


class Lazy(NamedTuple):
    """Where a command or a group of commands is (``module:name``), and the line that the list of commands shows."""

    name: str
    place: str
    line: str


class LazyGroup(TyperGroup):
    """A group that holds placeholders: enough for the list of commands, replaced by the command itself when it is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command itself for the placeholder."""
        name, found, rest = super().resolve_command(ctx, args)
        place = getattr(found and found.callback, "place", None)
        return name, (loaded(str(name), place) if place else found), rest


def register(app: typer.Typer, commands: tuple[Lazy, ...]) -> None:
    """Adds the placeholder of each command."""
    for one in commands:
        app.command(one.name, help=one.line)(_placeholder(one.place))


def loaded(name: str, place: str) -> Any:
    """The command or group at ``module:name``, imported now."""
    module, _, attribute = place.partition(":")
    target = getattr(import_module(module), attribute)
    around = typer.Typer(add_completion=False, rich_markup_mode=None)
    around.callback()(lambda: None)
    if isinstance(target, typer.Typer):
        around.add_typer(target, name=name)
    else:
        around.command(name)(target)
    group: Any = get_command(around)
    return group.commands[name]


def _placeholder(place: str) -> Callable[[], None]:
    def placeholder() -> None:
        """Never called."""

    placeholder.place = place  # type: ignore[attr-defined]  # kept by typer's wrapper, as functools.wraps does
    return placeholder
