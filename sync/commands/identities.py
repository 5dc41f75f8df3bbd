"""``check-identities``: finds, and splits, patients linked by an identifier that no longer links."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from store.domain.ids import parsed
from store.domain.patient import PatientRef
from store.patients.identity_check import IdentityCheck, Joined
from sync.answers import reference
from sync.commands import configured, global_options, output, private
from sync.commands.configured import OfEnterprise
from sync.commands.output import AsJson
from sync.runtime import Runtime

SHOWN = 50
Ids = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ID]...", help=f"Only these patients: VALUE, AUTHORITY|VALUE, the store's id, {private.HINT}.", callback=private.lines
    ),
]


def check_identities(
    context: typer.Context,
    ids: Ids = None,
    split: Annotated[bool, typer.Option("--split", help="Split them, after a preview.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    enterprise: OfEnterprise = None,
    as_json: AsJson = False,
) -> None:
    """Find patients linked by an identifier that no longer links. --split splits them; opt-outs stay with each part."""
    with global_options.opened(context) as runtime:
        owner = configured.enterprise(runtime.settings, enterprise)
        check = IdentityCheck(runtime.preferences, owner)
        only = _numbers(runtime, owner, ids or [])
        with output.progress("patients checked") as bar:
            found = check.find(only, bar)
        if not as_json:
            _show(found)
        splittable = [one for one in found if not one.blocked]
        if split and splittable and (yes or (not as_json and _confirmed(len(splittable)))):
            _split(runtime, check, splittable, found, as_json=as_json)
        elif as_json:
            output.emit({"patients": [_shape(one) for one in found], "split": 0})


def _split(runtime: Runtime, check: IdentityCheck, splittable: Sequence[Joined], found: Sequence[Joined], *, as_json: bool) -> None:
    done = {}
    with output.progress("patients split") as bar:
        for count, one in enumerate(splittable, 1):
            done[one.id] = check.split(parsed(one.id) or 0, actor=global_options.person(), now=runtime.clock())
            bar(count, len(splittable))
    split = {one: into for one, into in done.items() if into}
    if as_json:
        output.emit({"patients": [_shape(one) | {"into": split.get(one.id, [])} for one in found], "split": len(split)})
    else:
        output.say(f"{len(split)} patients were split. Run emr-sync resync SOURCE --full for their sources, to restore the unknown values")


def _numbers(runtime: Runtime, enterprise: str, ids: Sequence[str]) -> list[int]:
    refs: list[PatientRef] = [reference(one) for one in ids]
    return [parsed(runtime.preferences.find(enterprise, ref).id) or 0 for ref in refs]


def _show(found: Sequence[Joined]) -> None:
    if not found:
        output.say("no patient is linked by an identifier that no longer links")
        return
    output.table(("why", "patients"), Counter(one.why for one in found).most_common())
    output.say()
    columns = ("patient", "split into", "kept for each", "kept, lifted since", "becomes unknown", "blocked by")
    output.table(columns, [_row(one) for one in found[:SHOWN]])
    if len(found) > SHOWN:
        output.say(f"{len(found) - SHOWN} more not shown; use --json for all")
    output.say("\nvalues that become unknown cannot be assigned to one part; the next message or a full resync restores them")


def _row(one: Joined) -> tuple[str, ...]:
    parts = "; ".join(", ".join("|".join(identifier) for identifier in part) for part in one.parts)
    return (one.id, parts, *(", ".join(names) for names in (one.kept, one.returning, one.unknown)), one.blocked)


def _confirmed(count: int) -> bool:
    return typer.confirm(f"Split {count} patients? This cannot be undone", default=False)


def _shape(one: Joined) -> dict[str, Any]:
    shape = one._asdict()
    shape["parts"] = [[identifier._asdict() for identifier in part] for part in one.parts]
    shape["left_out"] = [identifier._asdict() for identifier in one.left_out]
    return shape
