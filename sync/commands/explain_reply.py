"""``explain-reply``: how a reply to a text would be read. Needs no database."""

from __future__ import annotations

from typing import Annotated

import typer

from store.domain.reply_recognition import read_reply
from sync.commands import configured, output, private
from sync.commands.configured import OfEnterprise
from sync.commands.output import AsJson


def explain_reply(
    context: typer.Context,
    text: Annotated[str, typer.Argument(metavar="TEXT", help=f"The text of the reply, {private.HINT}.", callback=private.line)],
    enterprise: OfEnterprise = None,
    as_json: AsJson = False,
) -> None:
    """Show how a reply would be read, and the wording matched. Needs no database."""
    settings = configured.settings(context)
    rules = settings.enterprises[configured.enterprise(settings, enterprise)]
    found = read_reply(text, rules.opt_in_words, rules.opt_out_words)
    result = {"outcome": found.kind or "none", "scope": found.scope, "term": found.term or None}
    if as_json:
        output.emit(result)
    else:
        output.table(("", ""), [(name, value) for name, value in result.items() if value is not None])
