"""A group of commands with ``list`` as its default: ``runs``, ``runs SOURCE``, ``runs show ID``."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

LIST = "list"


class ListByDefault(TyperGroup):
    """Reads ``runs SOURCE --json`` as ``runs list SOURCE --json``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Inserts ``list`` if no command of the group is named, unless a shell completes the name."""
        if not args and ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = [LIST, *args]
        return super().parse_args(ctx, args)
