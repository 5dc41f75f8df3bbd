"""``audit``: who viewed or changed what, decision receipts, and whether either was tampered with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from store.audit.audit_log import SEARCHES, VIEWED_RECEIPTS, VIEWED_SEARCHES, Audit
from store.audit.hash_chain import Head
from store.audit.receipts import Receipts
from store.audit.verify import ChainVerdict, verify
from store.domain.patient import PatientRef
from store.patients.finding import Finder
from store.web.api.audit_json import audit_out
from store.web.api.facesheet import as_json as plain
from sync.answers import reference
from sync.commands import configured, global_options, output, private
from sync.commands.configured import OfEnterprise
from sync.commands.group import ListByDefault
from sync.commands.output import AsJson, Limit
from sync.runtime import Runtime, UsageError

audit = typer.Typer(
    help="The audit log: `audit [--patient ID]`, `audit receipts ID`, `audit decision ID`, `audit searches`, `audit verify`.",
    cls=ListByDefault,
)
OF_PATIENT = f"VALUE, AUTHORITY|VALUE, the store's id, {private.HINT}"
Lines = list[dict[str, Any]]


@audit.command("list")
def list_lines(
    context: typer.Context,
    patient: Annotated[
        str | None,
        typer.Option(help=f"Only this patient: {OF_PATIENT}.", callback=private.line),
    ] = None,
    enterprise: OfEnterprise = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List who viewed or changed what, newest first."""
    with global_options.opened(context) as runtime:
        owner = configured.enterprise(runtime.settings, enterprise)
        subject = runtime.preferences.find(owner, reference(patient)).id if patient else None
        lines = [plain(audit_out(one)) for one in Audit(runtime.database).newest(owner, subject, limit)]
    _show(lines, as_json)


@audit.command("receipts")
def receipts(
    context: typer.Context,
    patient: Annotated[str | None, typer.Argument(metavar="[ID]", help=f"Only this patient: {OF_PATIENT}.", callback=private.line)] = None,
    enterprise: OfEnterprise = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List decision receipts: requests and answers. Only if the enterprise keeps receipts."""
    with global_options.opened(context) as runtime:
        owner = configured.enterprise(runtime.settings, enterprise)
        subject = _viewed(runtime, owner, reference(patient)) if patient else None
        lines = [plain(audit_out(one)) for one in Receipts(runtime.database).newest(owner, subject, limit)]
    _show(lines, as_json)


@audit.command("searches")
def searches(context: typer.Context, enterprise: OfEnterprise = None, limit: Limit = 50, as_json: AsJson = False) -> None:
    """List who looked for which patients, newest first, decrypted. This is noted in the audit log."""
    with global_options.opened(context) as runtime:
        owner = configured.enterprise(runtime.settings, enterprise)
        found = Finder(runtime.preferences).searches(owner, limit)
        Audit(runtime.database).note(owner, VIEWED_SEARCHES, SEARCHES, actor=global_options.who(), now=runtime.clock(), searches=len(found))
    if as_json:
        output.emit([one._asdict() for one in found])
        return
    rows = [(one.at, one.actor, "(not kept)" if one.text is None else one.text, one.found) for one in found]
    output.table(("at", "by", "looked for", "found"), rows)


@audit.command("decision")
def decision(
    context: typer.Context,
    number: Annotated[str, typer.Argument(metavar="ID", help="The decision ID, from the answer to the sender.")],
    enterprise: OfEnterprise = None,
    as_json: AsJson = False,
) -> None:
    """Show a stored decision by its id. Only if the enterprise keeps receipts."""
    with global_options.opened(context) as runtime:
        owner = configured.enterprise(runtime.settings, enterprise)
        log, who = Audit(runtime.database), global_options.who()
        found = plain(audit_out(Receipts(runtime.database).viewed(owner, number, log, who, runtime.clock())))
    output.emit(found) if as_json else _show([found], as_json=False)


@audit.command("verify")
def verify_all(
    context: typer.Context,
    enterprise: Annotated[str | None, typer.Option("--enterprise", help="Only this enterprise.")] = None,
    noted: Annotated[
        Path | None, typer.Option(help="Saved output of an earlier `audit verify --json`, to compare with.", exists=True, dir_okay=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Verify the hash chains. Exit code 1 if a line was changed, removed or moved."""
    with global_options.opened(context) as runtime:
        verdicts = verify(runtime.database, enterprise, _heads(noted) if noted else ())
    if as_json:
        output.emit({"ok": all(one.broken_at is None for one in verdicts), "chains": [_summary(one) for one in verdicts]})
    else:
        rows = [(one.head.enterprise, one.head.chain, one.head.number, one.head.hash, _in_words(one)) for one in verdicts]
        output.table(("enterprise", "chain", "lines", "last hash", "result"), rows)
    if any(one.broken_at is not None for one in verdicts):
        raise typer.Exit(1)


def _viewed(runtime: Runtime, enterprise: str, ref: PatientRef) -> str:
    patient = runtime.preferences.find(enterprise, ref).id
    Audit(runtime.database).note(enterprise, VIEWED_RECEIPTS, patient, actor=global_options.who(), now=runtime.clock())
    return patient


def _heads(file: Path) -> list[Head]:
    try:
        return [Head(one["enterprise"], one["chain"], one["lines"], one["hash"]) for one in json.loads(file.read_text())["chains"]]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError("--noted: not a file from 'audit verify --json'") from error


def _summary(one: ChainVerdict) -> dict[str, Any]:
    head = one.head
    return {
        "enterprise": head.enterprise,
        "chain": head.chain,
        "lines": head.number,
        "hash": head.hash,
        "broken_at": one.broken_at,
        "why": one.why,
        "cut": {"upto": one.cut.upto, "at": one.cut.at, "by": one.cut.actor} if one.cut else None,
    }


def _in_words(one: ChainVerdict) -> str:
    state = "intact" if one.broken_at is None else f"BROKEN at line {one.broken_at}: {one.why}"
    return state if one.cut is None else f"{state}; lines 1 to {one.cut.upto} were removed on {one.cut.at:%Y-%m-%d} by {one.cut.actor}"


def _show(lines: Lines, as_json: AsJson) -> None:
    if as_json:
        output.emit(lines)
        return
    rows = [(one["number"], one["at"], one["actor"], one["action"], one["subject"], json.dumps(one["detail"])) for one in lines]
    output.table(("line", "at", "by", "action", "subject", "detail"), rows)
