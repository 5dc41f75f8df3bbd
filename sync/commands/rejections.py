"""``rejections``: what could not be used, why, and trying it again."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from store.journal import Rejection
from sync.commands import given, output
from sync.commands.group import ListByDefault
from sync.commands.output import AsJson
from sync.parts import Parts, Unusable, adapter, lane
from sync.replay import replay

rejections = typer.Typer(
    help="What could not be used: `rejections [SOURCE]`, `rejections show ID`, `rejections replay [ID…]`.", cls=ListByDefault
)
EVERY = 100_000


def summary(rejection: Rejection) -> dict[str, Any]:
    """A rejection as scripts read it, without its payload."""
    return {name: getattr(rejection, name) for name in Rejection.__slots__ if name != "payload"}


@rejections.command("list")
def list_rejections(
    context: typer.Context,
    source: Annotated[str | None, typer.Argument(help="Only this source.")] = None,
    status: Annotated[str, typer.Option(help="open, resolved or all.")] = "open",
    limit: Annotated[int, typer.Option(help="How many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Rejections, the newest first."""
    with given.opened(context) as parts:
        found = parts.journal.rejections(source=source, status=None if status == "all" else status, limit=limit)
    if as_json:
        output.emit([summary(one) for one in found])
        return
    rows = [(one.id, one.source, one.scope, one.reason, one.path, one.locator, one.times, one.last_at, one.detail) for one in found]
    output.table(("rejection", "source", "scope", "reason", "path", "locator", "times", "last", "detail"), rows)


@rejections.command("show")
def show(context: typer.Context, number: Annotated[str, typer.Argument(metavar="ID")], as_json: AsJson = False) -> None:
    """One rejection with its payload. The payload is about a patient: mind who looks on."""
    with given.opened(context) as parts:
        found = parts.journal.rejection(number)
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
    source: Annotated[str | None, typer.Option(help="All open rejections of a source.")] = None,
    as_json: AsJson = False,
) -> None:
    """Try rejected payloads again, after the mapping was mended."""
    if bool(numbers) == bool(source):
        raise Unusable("say which: either rejection ids, or --source and a source")
    with given.opened(context) as parts:
        chosen = numbers or [one.id for one in parts.journal.rejections(source=source, limit=EVERY)]
        done = [_replayed(parts, number) for number in chosen]
    resolved = sum(one["status"] == "resolved" for one in done)
    if as_json:
        output.emit({"replayed": len(done), "resolved": resolved, "rejections": done})
    else:
        output.say(f"{resolved} of {len(done)} resolved")


def _replayed(parts: Parts, number: str) -> dict[str, Any]:
    rejection = parts.journal.rejection(number)
    feed = parts.feed(rejection.source)
    answer = replay(parts.engine, lane(feed), adapter(feed).mapper, rejection)
    return {"id": number, "outcome": answer.outcome, "reason": answer.reason, "status": parts.journal.rejection(number).status}
