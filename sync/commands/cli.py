"""The command line: names the commands, and turns every failure into one line and an exit code.

0 done, 1 the work failed, 2 wrong use or configuration, 3 held by the safeguard.
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
from store.errors import SchemaNewer, SchemaOutdated, StoreError
from sync import logs, pace, retry
from sync.commands import output
from sync.commands.lazy import Lazy, LazyGroup, register
from sync.config.problems import ConfigError, UsageError
from sync.config.settings import Logging

FAILED, WRONG_USE = 1, 2
COMMANDS = (
    Lazy("demo", "sync.commands.practice:demo", "Sync a rehearsal EMR on this machine and look at the result."),
    Lazy("rehearse", "sync.commands.practice:rehearse", "Run only the rehearsal EMR, on loopback."),
    Lazy("check-config", "sync.commands.config:check_config", "Every mistake of the configuration, with how to fix it."),
    Lazy("check", "sync.commands.config:check", "Reach the EMR: access, what it can do, a sample."),
    Lazy("explain", "sync.commands.config:explain", "What a message or resource says by a source's mapping."),
    Lazy("migrate", "sync.commands.database:migrate", "Create or upgrade the database's schema."),
    Lazy("check-database", "sync.commands.database:check_database", "Is the database itself well?"),
    Lazy("serve", "sync.commands.serve:serve", "Answer senders, read sources, listen to EMRs."),
    Lazy("resync", "sync.commands.runs:resync", "Read a source now."),
    Lazy("ingest", "sync.commands.runs:ingest", "Feed files through a source's mapping."),
    Lazy("remap", "sync.commands.remap:remap", "Read what a source stated again by today's mapping."),
    Lazy("runs", "sync.commands.runs:runs", "Run history; show, approve or reject a run."),
    Lazy("rejections", "sync.commands.rejections:rejections", "What could not be used; show or replay it."),
    Lazy("patient", "sync.commands.patients:patient", "A patient's facesheet: values, lock, provenance, history."),
    Lazy("decide", "sync.commands.patients:decide", "May a message be sent, how, where to, and why?"),
    Lazy("release", "sync.commands.release:release", "Retire a source, or take that back."),
    Lazy("unmerge", "sync.commands.unmerge:unmerge", "Take two records apart that were merged by mistake."),
    Lazy("check-identities", "sync.commands.identities:check_identities", "Patients whom an identifier joined that would not today."),
    Lazy("keys", "sync.commands.keys:keys", "API keys: create, list, revoke."),
    Lazy("users", "sync.commands.users:users", "People who sign in: add, list, disable, reset."),
    Lazy("audit", "sync.commands.audit:audit", "Who saw or changed what; receipts; verify."),
    Lazy("opt-outs", "sync.commands.opt_outs:opt_outs", "The report of numbers that may not be texted."),
    Lazy("replies", "sync.commands.replies:replies", "Unclear replies to texts; decide what they are."),
    Lazy("explain-reply", "sync.commands.explain_reply:explain_reply", "How a reply would be read, and by which wording."),
)

app = typer.Typer(
    help="Pulls contact preferences from EMRs, keeps them in one store, and tells senders whether they may send.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    invoke_without_command=True,
    cls=LazyGroup,
)


@app.callback()
def top(
    context: typer.Context,
    config: Annotated[
        str | None, typer.Option("-c", "--config", metavar="FILE", help="The configuration; else EMR_SYNC_CONFIG, else ./config.yaml.")
    ] = None,
    shows_version: Annotated[bool, typer.Option("--version", help="Show the version of the program, and end.")] = False,
) -> None:
    """Shows the help where no command is given."""
    logs.prepare(Logging(level="warning"))
    if shows_version:
        from importlib.metadata import version  # slow to import

        output.say(f"emr-sync {version('emr-sync')}")
        raise typer.Exit(0)
    if context.invoked_subcommand is None:
        output.note(context.get_help())
        raise typer.Exit(WRONG_USE)


register(app, COMMANDS)


def main() -> None:
    """The program ``emr-sync``. What it writes is its own user's: databases, keys and exports are about patients."""
    os.umask(0o077)
    pace.begin()
    sys.stdout, sys.stderr = sys.stdout or _nowhere(), sys.stderr or _nowhere()
    code = run(sys.argv[1:])
    pace.end()
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Does one command; the exit code."""
    try:
        code = app(list(arguments), standalone_mode=False, prog_name="emr-sync")
        return code if isinstance(code, int) else 0
    except Abort:
        return FAILED
    except Exception as error:
        code = WRONG_USE if isinstance(error, ConfigError | UsageError | SchemaNewer | TyperException) else FAILED
        line = _line(error)
        if "--json" in arguments:
            output.emit({"error": line, "exit": code})
        output.note(f"emr-sync: {line}")
        return code


def _nowhere() -> TextIO:
    """Where to write when whoever called us closed the stream."""
    return open(os.devnull, "w", encoding="utf-8")  # open until the process ends


def _line(error: Exception) -> str:
    """What to tell a person about an error. The text of one that is not ours may quote a payload: its kind must do."""
    if isinstance(error, TyperException):
        context = getattr(error, "ctx", None)
        return f"{_one(error.format_message())}{f' (see {context.command_path} --help)' if context else ''}"
    if isinstance(error, ConfigError | UsageError | StoreError | SchemaOutdated | AdapterError | BadParameter):
        return _one(str(error))
    if sentence := outage.told(error):
        return sentence
    if retry.passes(error):
        return f"the database did not take it ({type(error).__name__}): check that it runs and has room, then try again"
    return f"this is a mistake of the program ({logs.place(error)}): please report this line"


def _one(text: str) -> str:
    return " ".join(text.split())
