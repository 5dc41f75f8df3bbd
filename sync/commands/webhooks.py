"""``webhooks``: the state of senders' webhook endpoints, and enabling one that was disabled."""

from __future__ import annotations

from typing import Annotated

import typer

from store.patients.webhook_outbox import Outbox
from sync.commands import global_options, output
from sync.commands.group import ListByDefault
from sync.commands.output import AsJson
from sync.config.problems import UsageError, one_of
from sync.runtime import Runtime

webhooks = typer.Typer(help="Webhook endpoints of senders: `webhooks`, `webhooks enable NAME`.", cls=ListByDefault)


@webhooks.command("list")
def list_webhooks(context: typer.Context, as_json: AsJson = False) -> None:
    """List endpoints: how many messages wait, since when, and whether and why nothing is sent."""
    with global_options.opened(context) as runtime:
        found = [{"endpoint": name, **_outbox(runtime, name).state()._asdict()} for name in runtime.settings.webhooks]
    if as_json:
        output.emit(found)
    else:
        output.table(("endpoint", "waiting", "oldest", "disabled", "reason"), [tuple(one.values()) for one in found])


@webhooks.command("enable")
def enable(context: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME")], as_json: AsJson = False) -> None:
    """Send to an endpoint again, from where it stopped."""
    with global_options.opened(context) as runtime:
        waiting = _outbox(runtime, name).enable(runtime.clock())
    if as_json:
        output.emit({"endpoint": name, "waiting": waiting})
    else:
        output.say(f"enabled: {output.number(waiting, 'message')} waiting")


def _outbox(runtime: Runtime, name: str) -> Outbox:
    found = runtime.settings.webhooks.get(name)
    if found is None:
        raise UsageError(f"unknown endpoint. {one_of(name, runtime.settings.webhooks)}")
    return Outbox(runtime.preferences, name, found.enterprise)
