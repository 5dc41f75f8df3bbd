"""The command line: lists the commands, and turns every failure into one line and an exit code.

Exit codes: 0 done, 1 the work failed, 2 wrong usage or configuration, 3 held by the safeguard.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, TextIO

import typer
from typer import BadParameter
from typer.exceptions import Abort, TyperException

from adapters.base import AdapterError
from store.db import outage
from store.errors import BackupFailed, SchemaOutdated, StoreError
from store.version import version
from sync import logs, pace, retry
from sync.commands import output
from sync.commands.lazy import Lazy, LazyGroup, register
from sync.config.problems import ConfigError, UsageError

FAILED, WRONG_USE = 1, 2
CONFIG_HELP = "The configuration file. Default: EMR_SYNC_CONFIG, else ./config.yaml."
COMMANDS = (
    Lazy("demo", "sync.commands.practice:demo", "Sync a rehearsal EMR and show the result."),
    Lazy("rehearse", "sync.commands.practice:rehearse", "Run only the rehearsal EMR, on loopback."),
    Lazy("init", "sync.commands.init:init", "Write a first configuration: HL7 v2, FHIR or extracts."),
    Lazy("check-config", "sync.commands.config:check_config", "Check the configuration; list every error and its fix."),
    Lazy("check", "sync.commands.config:check", "Test the connection to an EMR and read a sample."),
    Lazy("explain", "sync.commands.explain:explain", "Show how a source's mapping reads a message or resource."),
    Lazy("map", "sync.commands.map:map_codes", "Propose mapping lines for unknown codes in sample files."),
    Lazy("migrate", "sync.commands.database:migrate", "Create or upgrade the database schema."),
    Lazy("check-database", "sync.commands.database:check_database", "Check the database: connection, schema, rights, clock."),
    Lazy("backup", "sync.commands.backup:backup", "Back up the database while the service runs."),
    Lazy("verify-backup", "sync.commands.backup:verify_backup", "Restore a backup into a scratch database and check it."),
    Lazy("serve", "sync.commands.serve:serve", "Run the service: API, schedules and listeners."),
    Lazy("reload", "sync.commands.reload:reload", "Have the service on this machine read the configuration again."),
    Lazy("resync", "sync.commands.runs:resync", "Read a source now."),
    Lazy("ingest", "sync.commands.runs:ingest", "Load files through a source's mapping."),
    Lazy("remap", "sync.commands.remap:remap", "Apply a source's current mapping to kept codes."),
    Lazy("runs", "sync.commands.runs:runs", "List runs; show, approve or reject one."),
    Lazy("rejections", "sync.commands.rejections:rejections", "List rejected payloads; show or replay them."),
    Lazy("find", "sync.commands.find:find", "Find patients by name, birth date, phone or identifier."),
    Lazy("patient", "sync.commands.patients:patient", "Show a patient: values, locks, provenance, history."),
    Lazy("decide", "sync.commands.patients:decide", "Decide whether and how to send a message."),
    Lazy("release", "sync.commands.release:release", "Retire a source, or undo that."),
    Lazy("unmerge", "sync.commands.unmerge:unmerge", "Undo a merge of two patient records."),
    Lazy("check-identities", "sync.commands.identities:check_identities", "Find patients whose identifiers no longer link."),
    Lazy("keys", "sync.commands.keys:keys", "Manage API keys: create, list, grant, revoke."),
    Lazy("users", "sync.commands.users:users", "Manage users: add, list, disable, reset."),
    Lazy("audit", "sync.commands.audit:audit", "Show the audit log and decision receipts; verify them."),
    Lazy("opt-outs", "sync.commands.opt_outs:opt_outs", "Report the numbers that opted out of texts."),
    Lazy("export", "sync.commands.export:export", "Write lists of addresses that must not be used."),
    Lazy("write-backs", "sync.commands.write_backs:write_backs", "Show opt-outs on their way to EMRs; retry dead ones."),
    Lazy("replies", "sync.commands.replies:replies", "Review unclear replies to texts."),
    Lazy("alerts", "sync.commands.alerts:alerts", "List current alerts; send a test message."),
    Lazy("webhooks", "sync.commands.webhooks:webhooks", "List webhook endpoints of senders; enable a disabled one."),
    Lazy("explain-reply", "sync.commands.explain_reply:explain_reply", "Show how a reply would be read, and the wording matched."),
)

app = typer.Typer(
    help="Sync contact preferences from EMRs into one store, and tell senders whether they may send.",
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    invoke_without_command=True,
    cls=LazyGroup,
)


@app.callback()
def top(
    context: typer.Context,
    config: Annotated[
        str | None,
        typer.Option("-c", "--config", metavar="FILE", help=CONFIG_HELP),
    ] = None,
    shows_version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Shows the help when no command is given."""
    logs.prepare(logs.Logging(level="warning"))
    if shows_version:
        output.say(f"emr-sync {version()}")
        raise typer.Exit(0)
    if context.invoked_subcommand is None:
        output.note(context.get_help())
        raise typer.Exit(WRONG_USE)


register(app, COMMANDS)


def main() -> None:
    """The program ``emr-sync``. Only its own user can read the files it writes: databases, keys and exports are about patients."""
    os.umask(0o077)
    pace.begin()
    sys.stdout, sys.stderr = sys.stdout or _null_stream(), sys.stderr or _null_stream()
    code = run(sys.argv[1:])
    pace.end()
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit code."""
    try:
        code = app(list(arguments), standalone_mode=False, prog_name="emr-sync")
        return code if isinstance(code, int) else 0
    except Abort:
        return FAILED
    except Exception as error:
        code = WRONG_USE if isinstance(error, ConfigError | UsageError | SchemaOutdated | TyperException) else FAILED
        line = _line(error)
        if "--json" in arguments:
            output.emit({"error": line, "exit": code})
        output.note(f"emr-sync: {line}")
        return code


def _null_stream() -> TextIO:
    """A stream that discards its output, for when the caller closed the real one."""
    return open(os.devnull, "w", encoding="utf-8")  # open until the process ends


def _line(error: Exception) -> str:
    """One line about an error, for people. The text of a foreign error may quote a payload, so only its type is shown."""
    if isinstance(error, TyperException):
        context = getattr(error, "ctx", None)
        return f"{_one_line(error.format_message())}{f' (see {context.command_path} --help)' if context else ''}"
    if isinstance(error, ConfigError | UsageError | StoreError | BackupFailed | SchemaOutdated | AdapterError | BadParameter):
        return _one_line(str(error))
    if sentence := outage.explanation(error):
        return sentence
    if retry.passes(error):
        return f"database error ({type(error).__name__}); check that the database runs and has disk space, then try again"
    return f"internal error ({logs.place(error)}); please report this line"


def _one_line(text: str) -> str:
    return " ".join(text.split())
