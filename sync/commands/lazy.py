"""Lazy commands: their modules are imported only when they are called, so that no command waits for another's imports."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup
from typer.main import get_command


class Lazy(NamedTuple):
    """A command or group of commands: its name, its place (``module:name``), and its line in the list of commands."""

    name: str
    place: str
    line: str


class LazyGroup(TyperGroup):
    """A group of placeholders, which suffice for the list of commands. A call replaces one by the command itself."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command itself instead of its placeholder."""
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
    wrapper = typer.Typer(add_completion=False, rich_markup_mode=None)
    wrapper.callback()(lambda: None)
    if isinstance(target, typer.Typer):
        wrapper.add_typer(target, name=name)
    else:
        wrapper.command(name)(target)
    group: Any = get_command(wrapper)
    return group.commands[name]


def _placeholder(place: str) -> Callable[[], None]:
    def placeholder() -> None:
        """Never called."""

    placeholder.place = place  # type: ignore[attr-defined]  # kept by typer's wrapper, as functools.wraps does
    return placeholder
