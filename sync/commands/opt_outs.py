"""``opt-outs``: the report of numbers that may not be texted."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from store.audit import VIEWED_OPT_OUTS, Audit
from store.opt_outs import opted_out
from store.web.opt_outs import as_csv
from sync.commands import given, output
from sync.commands.output import AsJson
from sync.commands.patients import OfEnterprise
from sync.parts import Unusable


def opt_outs(
    context: typer.Context,
    enterprise: OfEnterprise = None,
    table: Annotated[bool, typer.Option("--csv", help="As CSV, as over HTTP.")] = False,
    as_json: AsJson = False,
) -> None:
    """Every number that may not be texted by the word of a patient or of staff: on which line, since when, whose it is."""
    if table and as_json:
        raise Unusable("--csv and --json exclude each other: give one of them")
    with given.opened(context) as parts:
        owner = given.enterprise(parts.settings, enterprise)
        found = list(opted_out(parts.database, owner))
        Audit(parts.database).note(owner, VIEWED_OPT_OUTS, "", actor=given.who(), now=parts.clock(), opt_outs=len(found))
    if as_json:
        output.emit([one._asdict() for one in found])
    elif table:
        sys.stdout.write(as_csv(found))
    else:
        rows = [(one.number, one.line or "all", one.scope, one.topic, one.authority, one.at, len(one.patients)) for one in found]
        output.table(("number", "line", "scope", "topic", "by", "since", "patients"), rows)
