"""``find``: patients by name, birth date, phone or identifier."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from store.patients.finding import Finder, Found, FoundPatient, kinds
from store.patients.search import FORMER_PHONE, MOST
from sync.commands import configured, global_options, output, private
from sync.commands.configured import OfEnterprise
from sync.commands.output import AsJson

Sought = Annotated[
    str,
    typer.Argument(metavar="TEXT", help=f"Part of a name, a birth date, a phone or an identifier, {private.HINT}.", callback=private.line),
]


def find(context: typer.Context, text: Sought, enterprise: OfEnterprise = None, as_json: AsJson = False) -> None:
    """Find patients by name, birth date, phone or identifier. The search is noted in the audit log."""
    with global_options.opened(context) as runtime:
        owner = configured.enterprise(runtime.settings, enterprise)
        finder = Finder(runtime.preferences)
        found = finder.find(owner, text, actor=global_options.who(), now=runtime.clock())
    if as_json:
        output.emit(_plain(found))
    else:
        _show(found)


def _plain(found: Found) -> dict[str, Any]:
    patients = [
        {
            "id": one.id,
            "name": one.name,
            "birth_date": one.birth_date,
            "identifiers": [each._asdict() for each in one.identifiers],
            "do_not_contact": one.contact.do_not_contact,
            "deceased": one.contact.deceased,
            "found_by": one.by,
        }
        for one in found.patients
    ]
    looked_for = {"by": kinds(found.query), "more": found.more, "unfinished": found.unfinished, "incomplete": found.incomplete}
    return {"patients": patients, **looked_for}


def _show(found: Found) -> None:
    if found.patients:
        output.table(("patient", "name", "born", "identifiers", "do not contact", ""), map(_row, found.patients))
    else:
        output.note("no patient found")
    if found.more:
        output.note(f"the first {MOST}; more patients match: add more of the name, or the birth date")
    elif found.unfinished:
        output.note("not all patients were checked: add more of the name, or the birth date")
    if found.incomplete:
        output.note("some patients cannot be found by name yet: the index is being built while emr-sync serve runs")


def _row(one: FoundPatient) -> tuple[object, ...]:
    identifiers = "; ".join(f"{each.authority}|{each.value} {each.type}".strip() for each in one.identifiers)
    marks = [word for word, holds in (("deceased", one.contact.deceased), ("number not in use", one.by == FORMER_PHONE)) if holds]
    return one.id, one.name, one.birth_date, identifiers, one.contact.do_not_contact, ", ".join(marks)
