"""The command line: names the commands, and turns every failure into one line and an exit code.

0 done, 1 the work failed, 2 wrong use or configuration, 3 held by the brake.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer import BadParameter
from typer.exceptions import Abort, TyperException

from adapters.base import AdapterError
from store.errors import SchemaOutdated, StoreError
from sync import logs, retry
from sync.commands import audit, config, keys, opt_outs, output, patients, practice, rejections, release, replies, runs, serve, unmerge
from sync.commands.users import users
from sync.config import ConfigError, Logging
from sync.parts import Unusable

FAILED, WRONG_USE = 1, 2

app = typer.Typer(
    help="Pulls contact preferences from EMRs, keeps them in one store, and tells senders whether they may send.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    invoke_without_command=True,
)


@app.callback()
def top(
    context: typer.Context,
    config: Annotated[
        str | None, typer.Option("-c", "--config", metavar="FILE", help="The configuration; else EMR_SYNC_CONFIG, else ./config.yaml.")
    ] = None,
) -> None:
    """Shows the help where no command is given."""
    logs.configure(Logging(level="warning"))
    if context.invoked_subcommand is None:
        output.note(context.get_help())
        raise typer.Exit(WRONG_USE)


app.command("demo")(practice.demo)
app.command("rehearse")(practice.rehearse)
app.command("check-config")(config.check_config)
app.command("check")(config.check)
app.command("explain")(config.explain)
app.command("migrate")(config.migrate)
app.command("serve")(serve.serve)
app.command("resync")(runs.resync)
app.command("ingest")(runs.ingest)
app.add_typer(runs.runs, name="runs")
app.add_typer(rejections.rejections, name="rejections")
app.command("patient")(patients.patient)
app.command("decide")(patients.decide)
app.command("release")(release.release)
app.command("unmerge")(unmerge.unmerge)
app.add_typer(keys.keys, name="keys")
app.add_typer(users, name="users")
app.add_typer(audit.audit, name="audit")
app.command("opt-outs")(opt_outs.opt_outs)
app.add_typer(replies.replies, name="replies")
app.command("explain-reply")(replies.explain_reply)


def main() -> None:
    """The program ``emr-sync``."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Does one command; the exit code."""
    try:
        code = app(list(arguments), standalone_mode=False, prog_name="emr-sync")
        return code if isinstance(code, int) else 0
    except Abort:
        return FAILED
    except Exception as error:
        code = WRONG_USE if isinstance(error, ConfigError | Unusable | TyperException) else FAILED
        line = _line(error)
        if "--json" in arguments:
            output.emit({"error": line, "exit": code})
        output.note(f"emr-sync: {line}")
        return code


def _line(error: Exception) -> str:
    """What to tell a person about an error. The text of one that is not ours may quote a payload: its kind must do."""
    if isinstance(error, TyperException):
        context = getattr(error, "ctx", None)
        return f"{_one(error.format_message())}{f' (see {context.command_path} --help)' if context else ''}"
    if isinstance(error, ConfigError | Unusable | StoreError | SchemaOutdated | AdapterError | BadParameter):
        return _one(str(error))
    if retry.passes(error):
        return f"the database did not take it ({type(error).__name__}): check that it runs and has room, then try again"
    return f"this is a mistake of the program ({logs.place(error)}): please report this line"


def _one(text: str) -> str:
    return " ".join(text.split())
