"""``serve``: runs all roles, or some, until stopped."""

from __future__ import annotations

import socket
from collections.abc import Collection
from queue import SimpleQueue
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.address import Address, address
from sync import logs
from sync.commands import configured, output
from sync.commands.output import AsJson
from sync.config.problems import UsageError
from sync.runtime import ROLES

if TYPE_CHECKING:
    from sync.service import Inherited

MOST_WORKERS = 64


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
    one_process: Annotated[
        bool,
        typer.Option("--one-process", envvar="EMR_SYNC_ONE_PROCESS", help="Do runs in this process: needs less memory, delays answers."),
    ] = False,
    workers: Annotated[
        int,
        typer.Option(
            "--workers", metavar="N", min=1, max=MOST_WORKERS, envvar="EMR_SYNC_WORKERS", help="Answer with N processes on one address."
        ),
    ] = 1,
    parent: Annotated[int | None, typer.Option(hidden=True)] = None,
    api_socket: Annotated[int | None, typer.Option(hidden=True)] = None,
    questions: Annotated[int | None, typer.Option(hidden=True)] = None,
    as_json: AsJson = False,
) -> None:
    """Run the service: API, schedules and listeners. SIGTERM or Ctrl-C stops it cleanly; SIGHUP reloads the configuration."""
    from sync.parent import Parent, reporting_to
    from sync.reload import Request
    from sync.service import roles_of_child, serving  # imports the web server, which no other command needs
    from sync.signals import CHILD_DRAIN, DRAIN, ended_by_signals

    started_by = Parent(parent) if parent is not None else None
    settings = started_by.settings() if started_by else configured.settings(context)
    if settings is None:  # the parent has ended in the meantime
        return
    logs.configure(settings.logs)
    roles = _roles(only) if only is not None else ROLES
    requests: SimpleQueue[Request] = SimpleQueue()
    metrics_at = _address(metrics) if metrics else None
    child = () if one_process else roles_of_child(roles)
    _check_workers(workers, roles, one_process=one_process)
    with (
        ended_by_signals(drain=CHILD_DRAIN if started_by else DRAIN, reloads=None if started_by else requests) as ended,
        reporting_to(started_by, requests, can_wait="api" not in roles) as connection,
        serving(
            settings,
            roles,
            ended=ended,
            reloads=requests,
            metrics_at=metrics_at,
            child=child,
            processes=workers,
            inherited=_inherited(api_socket, questions),
            proposes=started_by is None,
        ) as service,
    ):
        if connection:
            connection.report = service.report
        url = service.url
        if as_json:
            output.emit({"address": url, "roles": sorted(roles)})
        elif url and not started_by:
            output.note(f"serving at {url}")
        service.wait()
    if service.failure:
        output.note(f"emr-sync: {service.failure}")
        raise typer.Exit(1)


def _check_workers(workers: int, roles: Collection[str], *, one_process: bool) -> None:
    if workers == 1:
        return
    if "api" not in roles:
        raise UsageError("--workers are processes of the role api, which --only leaves out; leave out --workers, too")
    if one_process:
        raise UsageError("--workers and --one-process exclude each other; leave out one of them")


def _inherited(api_socket: int | None, questions: int | None) -> Inherited | None:
    """What a further process of the API inherits from the one that started it."""
    if api_socket is None or questions is None:
        return None
    from multiprocessing.connection import Connection

    from sync.questions import Questions
    from sync.service import Inherited

    return Inherited(socket.socket(fileno=api_socket), Questions(Connection(questions)))


def _roles(text: str) -> list[str]:
    roles = [role.strip() for role in text.split(",") if role.strip()]
    if not roles:
        raise UsageError(f"--only is empty; use {', '.join(ROLES)}")
    return roles


def _address(text: str) -> Address:
    try:
        return address(text)
    except ValueError as error:
        raise UsageError(f"--metrics: {error}") from error
