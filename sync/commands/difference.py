"""What a dry run found, for people and scripts."""

from __future__ import annotations

from sync.commands import output
from sync.dry_run import LESS, MORE, DryRun


def show(difference: DryRun, *, as_json: bool) -> None:
    """Counts, who would flip which way, and the first changes."""
    if as_json:
        output.emit(difference.as_dict())
        return
    output.say(f"would be: {output.counted(difference.counts)}; nothing was changed")
    output.say(f"more contactable: {len(difference.flips[MORE])} patients; less contactable: {len(difference.flips[LESS])}")
    if difference.note:
        output.note(difference.note)
    rows = [(one.patient, one.attribute, one.before, one.after, one.direction.replace("_", " ")) for one in difference.changes]
    if rows:
        output.table(("patient", "attribute", "before", "after", "direction"), rows)
