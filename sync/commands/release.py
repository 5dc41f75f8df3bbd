"""``release``: retires a source, after showing what that unlocks; ``release --undo`` undoes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from store.db import schema
from store.db.database import Database
from store.holds.retire_source import Preview, Release
from store.patients.preferences import Preferences
from store.runs.runs import Journal
from sync.commands import global_options, output
from sync.commands.configured import SQLITE, has_database
from sync.commands.output import AsJson
from sync.config import ConfigProblem, Settings
from sync.runtime import Runtime, UsageError

PATIENCE = 3
"""Seconds that a check of the configuration waits for a database server."""


def release(
    context: typer.Context,
    source: Annotated[str | None, typer.Argument(help="The source to retire. Optional with --undo.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Undo the latest release and restore its locks.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    as_json: AsJson = False,
) -> None:
    """Retire a source: removes its locks and keeps its last values for staff to edit. Shows a preview and asks first."""
    with global_options.opened(context) as runtime:
        work = Release(runtime.preferences, runtime.journal)
        if undo:
            undone = work.undo(source, global_options.person(), runtime.clock())
            _say({"release": undone.id, "source": undone.source, "undone": True, "patients": undone.patients}, as_json=as_json)
            return
        if source is None:
            raise UsageError(f"name the source to release{_orphans_text(work)}")
        found = work.preview(source, runtime.clock())
        if not yes and not _confirmed(runtime, found, as_json=as_json):
            return
        done = work.release(source, global_options.person(), runtime.clock())
        _say({"release": done.id, "source": source, "undone": False, "patients": done.patients}, as_json=as_json)


def _confirmed(runtime: Runtime, found: Preview, *, as_json: bool) -> bool:
    """Shows what would be unlocked and asks for confirmation. A script gets the preview and must use ``--yes``."""
    configured = found.source in runtime.settings.feeds
    if as_json:
        output.emit({"release": None, "preview": found._asdict() | {"configured": configured}})
        return False
    output.say(f"{found.source} provides preferences of {found.patients} patients of {found.enterprise}; this would unlock:")
    output.table(("attribute", "patients"), found.attributes.items())
    if found.changes:
        output.say("\nfrom then on the value of another source would be in force for:")
        output.table(("attribute", "patients"), found.changes.items())
    if found.more_contactable:
        output.say("\nchanges that would permit more contact:")
        output.table(("change", "patients"), found.more_contactable.items())
    if found.held:
        output.say(f"held changes of {found.held} patients await review: they would be rejected")
    if configured:
        output.say("the source is still configured: its next message would lock its patients again. Remove it from the configuration first")
    output.say("all other values stay and become editable by staff; no opt-out is lost; emr-sync release --undo reverts this")
    return typer.confirm("Release it?", default=False)


def _say(done: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.emit(done)
    else:
        what = "release undone" if done["undone"] else "released"
        output.say(f"{done['source']}: {what}, {done['patients']} patients ({done['release']})")


def orphans(settings: Settings) -> tuple[ConfigProblem, ...]:
    """A warning for each removed source that still locks values; none when the database cannot be reached (yet)."""
    try:
        with if_there(settings) as database:
            schema.check(database)
            found = Release(Preferences(database, settings.enterprises), Journal(database)).orphans()
    except Exception:  # a configuration can be checked without its database
        return ()
    message = "removed from the configuration, but its values are still locked; restore it, or retire it with emr-sync release"
    return tuple(ConfigProblem(0, f"sources.{name}", message, warning=True) for name in found)


@contextmanager
def if_there(settings: Settings) -> Iterator[Database]:
    """The database if it exists already; otherwise any exception."""
    url = settings.database
    if not has_database(settings):
        raise FileNotFoundError(url)
    database = Database.open(url if url.startswith(SQLITE) else f"{url}{'&' if '?' in url else '?'}connect_timeout={PATIENCE}")
    try:
        yield database
    finally:
        database.close()


def _orphans_text(work: Release) -> str:
    orphans = work.orphans()
    return f"; no longer configured: {', '.join(orphans)}" if orphans else ""
