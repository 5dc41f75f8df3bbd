"""``rejections``: payloads that were rejected, why, and replaying them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from adapters.schema import duration
from store.audit.audit_log import ERASED, RESEALED, VIEWED_PAYLOAD, Audit
from store.runs.rejection_room import TRUNCATED
from store.runs.runs import Rejection, RejectionStatus
from sync.commands import difference, global_options, output
from sync.commands.group import ListByDefault
from sync.commands.output import AsJson, Limit
from sync.replays import Replays
from sync.runtime import Runtime, UsageError

rejections = typer.Typer(
    help="Rejected payloads: `rejections [SOURCE]`, `rejections show ID`, `rejections replay [ID…]`, `… erase`, `… reseal`.",
    cls=ListByDefault,
)
EVERY = 100_000


def summary(rejection: Rejection) -> dict[str, Any]:
    """A rejection as JSON, without its payload."""
    return {name: getattr(rejection, name) for name in Rejection.__slots__ if name != "payload"}


@rejections.command("list")
def list_rejections(
    context: typer.Context,
    source: Annotated[str | None, typer.Argument(help="Only this source.")] = None,
    status: Annotated[str, typer.Option(help="open, resolved or all.")] = "open",
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List rejections, newest first."""
    if status not in (*RejectionStatus, "all"):
        raise UsageError(f"--status must be one of {', '.join(RejectionStatus)}, all")
    with global_options.opened(context) as runtime:
        found = runtime.journal.rejections(source=source, status=None if status == "all" else status, limit=limit)
    if as_json:
        output.emit([summary(one) for one in found])
        return
    rows = [
        (one.id, one.source, one.scope, one.reason, one.path, one.evidence_id, one.locator, one.times, one.last_at, one.detail)
        for one in found
    ]
    output.table(("rejection", "source", "scope", "reason", "path", "message", "locator", "times", "last", "detail"), rows)


@rejections.command("show")
def show(context: typer.Context, number: Annotated[str, typer.Argument(metavar="ID")], as_json: AsJson = False) -> None:
    """Show one rejection with its payload, which contains patient data. The access is recorded."""
    with global_options.opened(context) as runtime:
        found = runtime.journal.rejection(number)
        Audit(runtime.database).note(found.enterprise, VIEWED_PAYLOAD, number, actor=global_options.who(), now=runtime.clock())
    payload = found.payload.decode("utf-8", "backslashreplace")
    if as_json:
        output.emit(summary(found) | {"payload": payload})
        return
    output.table(("", ""), list(summary(found).items()))
    output.say(payload.replace("\r\n", "\n").replace("\r", "\n"))


@rejections.command("replay")
def replay_some(
    context: typer.Context,
    numbers: Annotated[list[str] | None, typer.Argument(metavar="[ID…]")] = None,
    source: Annotated[str | None, typer.Option(help="Replay all open rejections of this source.")] = None,
    reason: Annotated[str | None, typer.Option(help="With --source or --all: only this reason.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Replay all open rejections of every source.")] = False,
    dry: Annotated[bool, typer.Option("--dry-run", help="Change nothing; show what would change.")] = False,
    as_json: AsJson = False,
) -> None:
    """Replay rejected payloads, for example after fixing the mapping."""
    if sum((bool(numbers), bool(source), everything)) != 1 or (numbers and reason):
        raise UsageError("name what to replay: rejection ids, or --source SOURCE, or --all (the last two also take --reason)")
    with global_options.mapping(context) as runtime:
        found = runtime.journal.rejection_store.rejections(source=source, reason=reason, limit=EVERY) if not numbers else []
        chosen = numbers or [one.id for one in found if one.reason != TRUNCATED]
        if dry:
            replays = Replays(runtime)
            result = replays.preview(chosen)
            difference.show(result, as_json=as_json)
            if not as_json:
                output.say(_statuses(result.statuses))
            _note_unreadable(replays.unopened)
            return
        replays = Replays(runtime)
        done = replays.replay_all(chosen, global_options.who())
    resolved = sum(one["status"] == RejectionStatus.RESOLVED for one in done)
    if as_json:
        output.emit({"replayed": len(done), "resolved": resolved, "rejections": done})
    else:
        output.say(f"{resolved} of {len(done)} resolved")
        for reason, times in Counter(one["reason"] for one in done if one["status"] != RejectionStatus.RESOLVED).items():
            output.say(f"{times} still rejected: {reason}")
    _note_unreadable(replays.unopened)


def _statuses(statuses: Mapping[str, int]) -> str:
    resolved, still_open = (statuses.get(one, 0) for one in (RejectionStatus.RESOLVED, RejectionStatus.OPEN))
    said = f"rejections: {resolved} would be resolved"
    if not still_open:
        return said
    which = "it, or a part of it," if still_open == 1 else "they, or a part of them,"
    return f"{said}, {still_open} would stay open because {which} still cannot be read"


def _note_unreadable(reasons: Sequence[str]) -> None:
    """Notes payloads that could not be decrypted and so were not replayed; ends the command with exit code 1."""
    for reason, times in Counter(reasons).items():
        output.note(f"{times} not replayed: {reason}")
    if reasons:
        raise typer.Exit(1)


@rejections.command("erase")
def erase(
    context: typer.Context,
    older_than: Annotated[str, typer.Option(metavar="DURATION", help="Payloads not received again for this long: 90d, 12h.")],
    as_json: AsJson = False,
) -> None:
    """Erase old payloads now, without waiting for keep_payloads. Reasons and counts stay."""
    try:
        age = duration(older_than)
    except ValueError as error:
        raise UsageError(f"--older-than: {error}") from error
    with global_options.opened(context) as runtime:
        erased = runtime.journal.rejection_store.erase(runtime.clock() - age)
        _note_everywhere(runtime, ERASED, payloads=erased, older_than=older_than)
    _show_number(erased, "erased", as_json=as_json)


@rejections.command("reseal")
def reseal(context: typer.Context, as_json: AsJson = False) -> None:
    """Re-encrypt all payloads with the current key. Then older keys can be removed from payload_keys."""
    with global_options.opened(context) as runtime:
        resealed = runtime.journal.rejection_store.reseal()
        _note_everywhere(runtime, RESEALED, payloads=resealed)
    _show_number(resealed, "resealed", as_json=as_json)


def _show_number(number: int, done: str, *, as_json: bool) -> None:
    if as_json:
        output.emit({done: number})
    else:
        output.say(f"{output.number(number, 'payload')} {done}")


def _note_everywhere(runtime: Runtime, action: str, **detail: Any) -> None:
    for enterprise in runtime.settings.enterprises:
        Audit(runtime.database).note(enterprise, action, "", actor=global_options.who(), now=runtime.clock(), **detail)
