"""``serve``: runs all roles, or some, until stopped."""

from __future__ import annotations

from queue import SimpleQueue
from typing import Annotated

import typer

from adapters.address import Address, address
from sync import logs
from sync.commands import configured, output
from sync.commands.output import AsJson
from sync.config.problems import UsageError
from sync.runtime import ROLES


def serve(
    context: typer.Context,
    only: Annotated[str | None, typer.Option(metavar="ROLES", help=f"Run only these roles, comma-separated: {','.join(ROLES)}.")] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            envvar="EMR_SYNC_METRICS",
            help="Serve /metrics, /healthz and /readyz of this process here, also without the role api.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the service: API, schedules and listeners. SIGTERM or Ctrl-C stops it cleanly; SIGHUP reloads the configuration."""
    from sync.service import serving  # imports the web server, which no other command needs
    from sync.signals import ended_by_signals

    settings = configured.settings(context)
    logs.configure(settings.logs)
    roles = [role.strip() for role in only.split(",") if role.strip()] if only is not None else ROLES
    if not roles:
        raise UsageError(f"--only is empty; use {', '.join(ROLES)}")
    reloads: SimpleQueue[bool] = SimpleQueue()
    metrics_at = _address(metrics) if metrics else None
    with (
        ended_by_signals(reloads=reloads) as ended,
        serving(settings, roles, ended=ended, reloads=reloads, metrics_at=metrics_at) as service,
    ):
        url = service.url
        if as_json:
            output.emit({"address": url, "roles": sorted(roles)})
        elif url:
            output.note(f"serving at {url}")
        service.wait()
    if service.failure:
        output.note(f"emr-sync: {service.failure}")
        raise typer.Exit(1)


def _address(text: str) -> Address:
    try:
        return address(text)
    except ValueError as error:
        raise UsageError(f"--metrics: {error}") from error
