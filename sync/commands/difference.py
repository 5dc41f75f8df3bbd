"""The output of a dry run, for people and scripts."""

from __future__ import annotations

from store.web.api.facesheet import as_value
from sync.commands import output
from sync.commands.patients import in_words
from sync.dry_run import LESS, MORE, NEW, OTHER, Difference, DryRun

SAMPLE = 20
ORDER = (MORE, LESS, NEW, OTHER)
"""The most important changes first."""


def show(difference: DryRun, *, as_json: bool) -> None:
    """Shows counts, patients by direction, and changes: as text at most ``SAMPLE`` of them and the number of the others."""
    if as_json:
        output.emit(difference.as_dict())
        return
    more, less = (len(difference.flips[direction]) for direction in (MORE, LESS))
    output.say(f"dry run, nothing was changed: {output.counted(difference.counts)}")
    output.say(f"patients: {more} more contactable, {less} less contactable, {difference.new} new")
    if difference.note:
        output.note(difference.note)
    rows = [_row(one) for one in sorted(difference.changes, key=lambda one: ORDER.index(one.direction))[:SAMPLE]]
    if rows:
        output.table(("patient", "attribute", "before", "after", "direction"), rows)
    if remaining := len(difference.changes) + difference.more - len(rows):
        output.say(f"and {remaining} more changes")


def _row(one: Difference) -> tuple[str, ...]:
    patient = one.patient or f"new patient {one.new}"
    return patient, one.attribute, in_words(as_value(one.before)), in_words(as_value(one.after)), one.direction.replace("_", " ")
