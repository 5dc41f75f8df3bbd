"""The output of a dry run, for people and scripts."""

from __future__ import annotations

from typing import Annotated

import typer

from store.web.api.facesheet import as_value
from sync.commands import output
from sync.commands.patients import in_words
from sync.config.problems import UsageError
from sync.dry_run import LESS, MORE, NEW, OTHER, SHOWN, Difference, DryRun

SAMPLE = 20
ORDER = (MORE, LESS, NEW, OTHER)
"""The most important changes first."""

ShowAll = Annotated[bool, typer.Option("--all", help="With --dry-run: show every change, not only examples.")]


def room(*, dry: bool, everything: bool) -> int | None:
    """How many changes of a direction a dry run keeps; ``None`` for all. Raises ``UsageError`` if ``--all`` has no meaning."""
    if everything and not dry:
        raise UsageError("--all needs --dry-run; add it, or remove --all")
    return None if everything else SHOWN


def show(difference: DryRun, *, as_json: bool, everything: bool | None = None) -> None:
    """Shows counts, patients by direction, changes by attribute, and changes: at most ``SAMPLE`` unless ``everything``.

    ``everything`` is ``None`` for a command that has no option for it.
    """
    if as_json:
        output.emit(difference.as_dict())
        return
    more, less = (len(difference.flips[direction]) for direction in (MORE, LESS))
    output.say(f"dry run, nothing was changed: {output.counted(difference.counts)}")
    output.say(f"patients: {more} more contactable, {less} less contactable, {difference.new} new")
    if difference.note:
        output.note(difference.note)
    if difference.groups:
        _show_changes(difference, None if everything else SAMPLE, "" if everything is None else "; --all shows every change")


def _show_changes(difference: DryRun, limit: int | None, hint: str) -> None:
    groups = sorted(difference.groups.items(), key=lambda group: (ORDER.index(group[0][0]), -group[1], group[0]))
    output.say()
    output.table(("direction", "attribute", "changes"), [(_in_words(direction), attribute, n) for (direction, attribute), n in groups])
    rows = [_row(one) for one in sorted(difference.changes, key=lambda one: ORDER.index(one.direction))[:limit]]
    output.say()
    output.table(("patient", "attribute", "before", "after", "direction"), rows)
    if remaining := difference.groups.total() - len(rows):
        output.say(f"and {output.number(remaining, 'more change')}{hint}")


def _row(one: Difference) -> tuple[str, ...]:
    patient = one.patient or f"new patient {one.new}"
    return patient, one.attribute, in_words(as_value(one.before)), in_words(as_value(one.after)), _in_words(one.direction)


def _in_words(direction: str) -> str:
    return direction.replace("_", " ")
