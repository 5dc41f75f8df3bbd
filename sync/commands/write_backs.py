"""``write-backs``: opt-outs on their way to EMRs, and those that a person must look at."""

from __future__ import annotations

from typing import Annotated

import typer

from store.domain.ids import shown
from store.domain.write_back import WriteBackState
from store.patients.write_backs import WriteBacks
from sync.commands import global_options, output
from sync.commands.output import AsJson
from sync.config import Settings
from sync.runtime import UsageError


def write_backs(
    context: typer.Context,
    source: Annotated[str | None, typer.Argument(help="Only this source.")] = None,
    state: Annotated[WriteBackState, typer.Option(help="Only opt-outs in this state.")] = WriteBackState.DEAD,
    retry: Annotated[bool, typer.Option("--retry", help="Try dead ones again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show opt-outs that EMRs do not have (state dead: the EMR refused them, or did not accept them in time)."""
    with global_options.opened(context) as runtime:
        names, outbox = _sources(runtime.settings, source), WriteBacks(runtime.database)
        if retry:
            feeds = runtime.settings.feeds
            revived = sum(outbox.revive(name, feeds[name].enterprise, runtime.clock()) for name in names)
            output.emit({"retried": revived}) if as_json else output.say(f"{output.number(revived, 'opt-out')} will be tried again")
            return
        found = [one._asdict() | {"patient": shown(one.patient)} for one in outbox.listed(names, state)]
    if as_json:
        output.emit(found)
    else:
        output.table(("source", "patient", "attribute", "state", "attempts", "reason", "opted out"), [tuple(one.values()) for one in found])


def _sources(settings: Settings, source: str | None) -> list[str]:
    known = [name for name, feed in settings.feeds.items() if feed.write_back]
    if source is not None and source not in known:
        raise UsageError(f"{source} has no write_back; sources with one: {', '.join(known) or 'none'}")
    return known if source is None else [source]
