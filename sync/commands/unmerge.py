"""``unmerge``: undoes a merge that an EMR made by mistake."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from store.domain.lock import Actor, Role
from sync.answers import reference, sheet_of
from sync.commands import configured, global_options, output, private
from sync.commands.configured import OfEnterprise
from sync.commands.output import AsJson
from sync.commands.patients import show

MergedId = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help=f"The record that was merged: VALUE, AUTHORITY|VALUE, the store's id, {private.HINT}.",
        callback=private.line,
    ),
]


def unmerge(
    context: typer.Context,
    number: MergedId,
    reason: Annotated[str, typer.Option(help="The reason, recorded in the history of both records.")],
    by: Annotated[str | None, typer.Option(help="The name for the history. Default: the login name.")] = None,
    enterprise: OfEnterprise = None,
    as_json: AsJson = False,
) -> None:
    """Undo a merge: both records get their earlier values back; opt-outs made since apply to both."""
    with global_options.opened(context) as runtime:
        owner = configured.enterprise(runtime.settings, enterprise)
        actor = Actor(Role.OPERATOR, by or getpass.getuser())
        patients = runtime.preferences.unmerge(owner, reference(number), actor=actor, reason=reason, now=runtime.clock())
        survivor, restored = (sheet_of(runtime, one, Role.ENTERPRISE) for one in patients)
    if as_json:
        output.emit({"survivor": survivor, "restored": restored})
    else:
        show(survivor)
        show(restored)
