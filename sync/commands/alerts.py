"""``alerts``: what people were told, and whether messages arrive."""

from __future__ import annotations

from typing import Any

import typer

from store.runs.alerts import SentAlert, SentAlerts
from sync.commands import configured, global_options, output
from sync.commands.group import ListByDefault
from sync.commands.output import AsJson
from sync.config.problems import UsageError

alerts = typer.Typer(help="Alerts: `alerts list`, `alerts test`.", cls=ListByDefault)
TEXT = "This is a test. Alerts about what waits for a person will arrive here."


@alerts.command("list")
def list_alerts(context: typer.Context, as_json: AsJson = False) -> None:
    """List current alerts: since when, when they were sent, and failed attempts to send them."""
    from sync.alerts import kind_of, target_of

    with global_options.opened(context) as runtime:
        kinds = {target_of(url): kind_of(url) for url in runtime.settings.alerts.to}
        found = [_summary(one) | {"to": kinds[one.target]} for one in SentAlerts(runtime.database).read() if one.target in kinds]
    if as_json:
        output.emit(found)
    else:
        output.table(("alert", "enterprise", "source", "since", "sent", "failed attempts", "to"), [list(one.values()) for one in found])


@alerts.command("test")
def send_test(context: typer.Context, as_json: AsJson = False) -> None:
    """Send a test message to every address of `alerts.to`. Exit code 1 if one does not accept it."""
    from sync.alerts import kind_of
    from sync.notifying import send

    settings = configured.settings(context)
    if not settings.alerts.to:
        raise UsageError("alerts.to is not configured; see config.example.yaml")
    found = [{"to": kind_of(url), "accepted": send(url, "emr-sync: test", TEXT)} for url in settings.alerts.to]
    if as_json:
        output.emit(found)
    else:
        output.table(("to", "accepted"), [list(one.values()) for one in found])
    if not all(one["accepted"] for one in found):
        raise typer.Exit(1)


def _summary(one: SentAlert) -> dict[str, Any]:
    return one.subject._asdict() | {"since": one.since, "sent": one.told, "failed_attempts": one.attempts}
