"""``runs``: the history of runs and their results. ``resync`` and ``ingest``: run now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from adapters.base import Fetch
from store.domain.lock import Actor
from store.holds.review import AwaitingReview, HeldReview, HeldSet
from store.preference import RecordOutcome
from store.runs.runs import Run, RunKind, RunStatus
from store.runs.source_checks import Findings
from sync.commands import difference, global_options, output, private
from sync.commands.configured import SourceName
from sync.commands.group import ListByDefault
from sync.commands.output import AsJson, Limit
from sync.commands.times import moment
from sync.dry_run import dry_run
from sync.intake import UNDECIDED
from sync.runtime import Runtime, UsageError, adapter, lane
from sync.sources import payloads

PATIENCE = 3600.0
"""The seconds in total that ``resync`` waits for an EMR that prepares its response."""

HELD = 3
"""The exit code of a run that the safeguard holds."""

runs = typer.Typer(help="Runs: `runs [SOURCE]`, `runs show ID`, `runs approve ID`, `runs reject ID`.", cls=ListByDefault)
RunId = Annotated[str, typer.Argument(metavar="ID")]


def summary(run: Run, waiting: AwaitingReview | None = None) -> dict[str, Any]:
    """A run as JSON. ``waiting``: what awaits review, and since when."""
    return {
        "run": run.id,
        "source": run.source,
        "enterprise": run.enterprise,
        "kind": run.kind,
        "status": run.status,
        "started": run.started,
        "finished": run.finished,
        "counts": {outcome: run.counts.get(outcome, 0) for outcome in (*RecordOutcome, UNDECIDED)},
        "error": run.failure,
        "note": run.note,
        "waiting": {"patients": waiting.patients, "since": waiting.since} if waiting else None,
    }


def show(run: Run, *, as_json: bool) -> None:
    """Shows the result of a run. Ends the command with exit code 1 if it failed, with 3 if the safeguard holds it."""
    if as_json:
        output.emit(summary(run))
    else:
        output.say(f"{run.source}: {run.status}: {output.counted(run.counts)}")
        if run.counts.get(RecordOutcome.REJECTED):
            output.say(f"list the rejections with: emr-sync rejections {run.source}")
    if run.status in (RunStatus.WAITING, RunStatus.STOPPED) or run.note:
        output.note(f"{run.source}: {run.error}")
    if run.status in (RunStatus.FAILED, RunStatus.HELD):
        if run.error:
            output.note(f"{run.source}: {run.error}")
        raise typer.Exit(HELD if run.status == RunStatus.HELD else 1)


@runs.command("list")
def list_runs(
    context: typer.Context,
    source: Annotated[str | None, typer.Argument(help="Only this source.")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first."""
    with global_options.opened(context) as runtime:
        found, waits = runtime.journal.runs(source=source, limit=limit), waiting_by_run(runtime)
    if as_json:
        output.emit([summary(run, waits.get(run.id)) for run in found])
        return
    rows = [(run.id, run.source, run.kind, run.status, run.started, output.counted(run.counts), run.error) for run in found]
    output.table(("run", "source", "kind", "status", "started", "counts", "error"), rows)
    for one in waits.values():
        output.say(f"held for review since {output.word(one.since)}: {one.patients} patients; see emr-sync runs show {one.run}")


def waiting_by_run(runtime: Runtime) -> dict[str, AwaitingReview]:
    """Run -> what awaits review, the longest wait first."""
    return {one.run: one for one in runtime.verdicts.awaiting_review()}


@runs.command("show")
def show_run(context: typer.Context, number: RunId, as_json: AsJson = False) -> None:
    """Show one run in detail, with its held changes."""
    with global_options.opened(context) as runtime:
        found, waiting = runtime.verdicts.show(number), waiting_by_run(runtime).get(number)
    if as_json:
        output.emit(preview(found, waiting))
        return
    run = found.run
    fields = summary(run) | {"counts": output.counted(run.counts), "waiting": f"since {output.word(waiting.since)}" if waiting else None}
    output.table(("", ""), list(fields.items()))
    _print_held(found)


@runs.command("approve")
def approve(context: typer.Context, number: RunId, as_json: AsJson = False) -> None:
    """Approve the held changes of a run. Your name is recorded."""
    _decide(context, number, as_json, HeldReview.approve)


@runs.command("reject")
def reject(context: typer.Context, number: RunId, as_json: AsJson = False) -> None:
    """Reject the held changes of a run; current values stay. Your name is recorded."""
    _decide(context, number, as_json, HeldReview.reject)


def _decide(context: typer.Context, number: str, as_json: bool, verdict: Callable[[HeldReview, str, Actor, datetime], HeldSet]) -> None:
    with global_options.opened(context) as runtime:
        runtime.expire(runtime.journal.run(number).enterprise)
        held = verdict(runtime.verdicts, number, global_options.person(), runtime.clock())
        found = runtime.verdicts.show(number)
    if as_json:
        output.emit(preview(found))
    else:
        output.say(f"{number}: {found.verdicts[-1].verdict}, {held.impact.patients} patients")
        if found.run.note:
            output.note(f"{found.run.source}: {found.run.note}")


def preview(found: HeldSet, waiting: AwaitingReview | None = None) -> dict[str, Any]:
    """A run with its held changes, as JSON."""
    held = {
        "patients": found.impact.patients,
        "counts": [one._asdict() for one in found.impact.counts],
        "sample": [one._asdict() for one in found.impact.sample],
        "verdicts": [one._asdict() for one in found.verdicts],
    }
    return summary(found.run, waiting) | {"held": held}


def _print_held(found: HeldSet) -> None:
    if found.impact.patients:
        output.say(f"\nheld: {found.impact.patients} patients would become more contactable")
        output.table(("attribute", "direction", "patients"), found.impact.counts)
        if found.impact.sample:
            output.say("\nexamples")
            output.table(("patient", "attribute", "direction", "read from", "effective"), found.impact.sample)
        reject = "revert the configuration" if found.run.kind == RunKind.CONFIGURATION else f"emr-sync runs reject {found.run.id}"
        output.say(f"\nto decide: emr-sync runs approve {found.run.id}, or {reject}")
    if found.verdicts:
        output.table(("decision", "by", "at", "patients"), found.verdicts)


def resync(
    context: typer.Context,
    source: SourceName,
    patient: Annotated[
        str | None, typer.Option(help=f"Only this patient: the source's own identifier, {private.HINT}.", callback=private.line)
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Only changes since this time; UTC unless it has an offset.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Read everything, including records read before.")] = False,
    dry: Annotated[bool, typer.Option("--dry-run", help="Change nothing; show what would change.")] = False,
    everything: difference.ShowAll = False,
    as_json: AsJson = False,
) -> None:
    """Read a source now."""
    room = difference.room(dry=dry, everything=everything)
    if sum((patient is not None, since is not None, full)) > 1:
        raise UsageError("--patient, --since and --full cannot be combined; use one of them")
    with global_options.working(context) as runtime:
        feed = runtime.feed(source)
        request = Fetch(runtime.journal.cursor(source), moment(since, "--since"), full, patient)
        with output.progress(f"reading {source}") as on_progress:
            if dry:
                found = dry_run(runtime.engine, lane(feed), runtime.polled(feed), request, on_progress, room)
                if full and found.whole:
                    Findings(runtime.database).keep_comparison(feed.name, feed.enterprise, found.compared, now=runtime.clock())
                difference.show(found, as_json=as_json, everything=everything)
                return
            run = runtime.engine.run(
                lane(feed), runtime.polled(feed), request, RunKind.FULL if full else RunKind.RESYNC, on_progress, PATIENCE
            )
    show(run, as_json=as_json)


def ingest(
    context: typer.Context,
    source: SourceName,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Files or folders.", exists=True)],
    as_json: AsJson = False,
) -> None:
    """Load files through a source's mapping: HL7 messages or batches, NDJSON, bundles."""
    with global_options.working(context) as runtime:
        feed = runtime.feed(source)
        reader = adapter(feed)
        with output.progress(f"reading into {source}") as on_progress:
            run = runtime.engine.feed(lane(feed), reader.mapper, payloads(reader, paths), on_progress, feed.settings)
    show(run, as_json=as_json)
