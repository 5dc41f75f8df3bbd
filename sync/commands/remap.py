"""``remap``: applies a source's current mapping to the codes already received."""

from __future__ import annotations

from typing import Annotated

import typer

from store.db import schema
from store.holds.remap_source import count_read_by_another
from store.preference import emr
from sync.commands import difference, global_options, output
from sync.commands.configured import SourceName
from sync.commands.output import AsJson
from sync.commands.release import if_there
from sync.commands.runs import show
from sync.config import ConfigProblem, Settings
from sync.dry_run import remapped
from sync.runtime import adapter, lane


def remap(
    context: typer.Context,
    source: SourceName,
    dry: Annotated[bool, typer.Option("--dry-run", help="Change nothing; show what would change.")] = False,
    everything: difference.ShowAll = False,
    as_json: AsJson = False,
) -> None:
    """Apply a source's current mapping to codes already received. Does not contact the EMR. The safeguard applies."""
    room = difference.room(dry=dry, everything=everything)
    with global_options.working(context) as runtime:
        feed = runtime.feed(source)
        mapper = adapter(feed).mapper
        with output.progress(f"remapping {source}") as on_progress:
            if dry:
                found = remapped(runtime.engine, lane(feed), mapper, on_progress, room)
                difference.show(found, as_json=as_json, everything=everything)
                return
            run = runtime.engine.remap(lane(feed), mapper, on_progress)
    show(run, as_json=as_json)


def other_mappings(settings: Settings) -> tuple[ConfigProblem, ...]:
    """A warning for each source with patients that another mapping read; none if the database cannot be read (yet)."""
    try:
        with if_there(settings) as database:
            schema.check(database)
            names = {name: adapter(feed).mapper.mapping for name, feed in settings.feeds.items()}
            with database.read() as connection:
                found = {
                    name: count_read_by_another(database, connection, settings.feeds[name].enterprise, emr(name), mapping)
                    for name, mapping in names.items()
                }
    except Exception:  # a configuration can be checked without its database
        return ()
    return tuple(ConfigProblem(0, f"sources.{name}.mapping", _message(name, count), warning=True) for name, count in found.items() if count)


def _message(source: str, patients: int) -> str:
    patients_were = "1 patient was" if patients == 1 else f"{patients} patients were"
    return f"{patients_were} read with another mapping; preview the change with emr-sync remap {source} --dry-run, then run it without"
