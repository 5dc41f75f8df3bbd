"""``unmerge``: two records that an EMR joined by mistake are taken apart again."""

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
        metavar="ID", help=f"The record that was merged away: VALUE, AUTHORITY|VALUE, its own id, {private.HINT}.", callback=private.line
    ),
]


def unmerge(
    context: typer.Context,
    number: MergedId,
    reason: Annotated[str, typer.Option(help="Why, for the history of both records.")],
    by: Annotated[str | None, typer.Option(help="Who does it, for the history; the login name, if left out.")] = None,
    enterprise: OfEnterprise = None,
    as_json: AsJson = False,
) -> None:
    """Undoes a merge: both records get back what stood before; what was forbidden since holds for both."""
    with global_options.opened(context) as parts:
        owner = configured.enterprise(parts.settings, enterprise)
        actor = Actor(Role.OPERATOR, by or getpass.getuser())
        apart = parts.preferences.unmerge(owner, reference(number), actor=actor, reason=reason, now=parts.clock())
        survivor, restored = (sheet_of(parts, one, Role.ENTERPRISE) for one in apart)
    if as_json:
        output.emit({"survivor": survivor, "restored": restored})
    else:
        show(survivor)
        show(restored)
