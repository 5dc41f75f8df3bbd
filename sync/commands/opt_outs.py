"""``opt-outs``: the report of numbers and addresses that may not be texted, called or e-mailed."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Annotated

import typer

from store.audit.audit_log import VIEWED_OPT_OUTS, Audit
from store.domain.channels import ORDER
from store.domain.sms_consent import REVIEW, SCOPES, SMS
from store.patients.opt_out_report import OptedOut, Wanted, opted_out
from store.preference import PATIENT, STAFF
from store.web.api.opt_out_report import csv_pieces, filters, json_pieces
from sync.commands import configured, global_options, output
from sync.commands.configured import OfEnterprise
from sync.commands.output import AsJson
from sync.commands.patients import spelled
from sync.commands.times import moment
from sync.runtime import UsageError


def opt_outs(
    context: typer.Context,
    enterprise: OfEnterprise = None,
    line: Annotated[str | None, typer.Option(help="Only opt-outs in force on this line.")] = None,
    by: Annotated[str | None, typer.Option(help="Only opt-outs by patient, staff or review.")] = None,
    scope: Annotated[str | None, typer.Option(help="Only this scope: line, all_lines, topic or category.")] = None,
    topic: Annotated[str | None, typer.Option(help="Only opt-outs from this topic.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Only opt-outs at or after this time.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only opt-outs before this time.")] = None,
    channel: Annotated[str, typer.Option(help="Opt-outs from this channel: sms, voice or email.")] = SMS,
    table: Annotated[bool, typer.Option("--csv", help="Print CSV, the same as the API.")] = False,
    plain: AsJson = False,
) -> None:
    """Report numbers that opted out of texts (or calls, or e-mail), by patients or staff: line, scope, time and patients."""
    if table and plain:
        raise UsageError("--csv and --json cannot be combined; use one of them")
    when = moment(since, "--since"), moment(until, "--until")
    _one_of(channel, "--channel", ORDER)
    words = _one_of(by, "--by", (PATIENT, STAFF, REVIEW)), _one_of(scope, "--scope", SCOPES)
    with global_options.opened(context) as runtime:
        owner = configured.enterprise(runtime.settings, enterprise)
        wanted = Wanted(spelled(line, runtime.preferences.numbering(owner)), *words, topic, *when, channel)
        Audit(runtime.database).note(owner, VIEWED_OPT_OUTS, "", actor=global_options.who(), now=runtime.clock(), **filters(wanted))
        found = opted_out(runtime.database, owner, wanted)
        if plain or table:
            sys.stdout.writelines(json_pieces(found) if plain else csv_pieces(found))
            sys.stdout.write("\n" if plain else "")
        else:
            _show(found)


def _show(found: Iterable[OptedOut]) -> None:
    rows = [(one.number, one.line or "all", one.scope, one.topic, one.authority, one.at, len(one.patients)) for one in found]
    output.table(("number", "line", "scope", "topic", "by", "since", "patients"), rows)


def _one_of(text: str | None, option: str, choices: tuple[str, ...]) -> str | None:
    if text is not None and text not in choices:
        raise UsageError(f"{option} must be one of {', '.join(choices)}")
    return text
