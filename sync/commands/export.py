"""``export suppressions``: lists of addresses that must not be used, as files for senders that load lists."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from store.domain.channels import ORDER
from store.preference import MessageType
from sync.commands import configured, global_options, output
from sync.commands.configured import OfEnterprise
from sync.commands.output import AsJson
from sync.commands.patients import spelled
from sync.config.problems import UsageError
from sync.exports import SuppressionList
from sync.scheduled_exports import write_suppressions

export = typer.Typer(help="Write files for senders that load lists: `export suppressions FOLDER`.", no_args_is_help=True)


@export.callback()
def top() -> None:
    """Write files for senders that load lists."""


@export.command("suppressions")
def suppressions(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the files go. They are readable by this user only.")],
    channel: Annotated[str, typer.Option(help="sms, voice or email.")] = "sms",
    line: Annotated[str | None, typer.Option(help="The sending number, for texts. Default: an opt-out from any line counts.")] = None,
    message_type: Annotated[MessageType, typer.Option("--type", help="The purpose of the messages.")] = MessageType.AUTOMATION,
    delta: Annotated[bool, typer.Option("--delta", help="Only what changed since the last list in this folder.")] = False,
    enterprise: OfEnterprise = None,
    as_json: AsJson = False,
) -> None:
    """Write the addresses that must not be used: as CSV and one per line, and a marker (.done) when they are complete."""
    if channel not in ORDER:
        raise UsageError(f"--channel must be one of {', '.join(ORDER)}")
    if line is not None and channel != "sms":
        raise UsageError("--line is for texts: an opt-out from calls or e-mail has no line")
    with global_options.opened(context) as runtime:
        owner = configured.enterprise(runtime.settings, enterprise)
        which = SuppressionList(owner, message_type.value, channel, spelled(line, runtime.preferences.numbering(owner)))
        written = write_suppressions(runtime, folder, which, actor=global_options.who(), delta=delta)
    if as_json:
        output.emit(written._asdict())
    else:
        output.say(f"{written.kind}: {written.addresses} addresses, {written.added} added, {written.removed} removed")
