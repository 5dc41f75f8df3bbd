"""``patient``: the facesheet in the terminal. ``decide``: the decision that a sender would get."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from store.audit.audit_log import VIEWED, VIEWED_AS_OF, Audit
from store.domain.decision_request import Appointment, DecisionRequest
from store.domain.documents import as_tuples
from store.domain.lock import Role
from store.domain.message_class import CATEGORIES
from store.domain.phone_numbers import Numbering
from store.errors import ValueRefused
from store.patients.as_of import AsOf
from store.preference import UNKNOWN, Channel, MessageType, Method
from store.times import SECOND
from store.web.api.audit_json import as_of_out
from store.web.api.facesheet import as_json as plain
from store.web.api.facesheet import as_value, history_line
from sync.answers import decision_of, reference, sheet_of
from sync.commands import configured, global_options, output, private
from sync.commands.configured import OfEnterprise
from sync.commands.output import AsJson
from sync.commands.times import moment
from sync.runtime import Runtime, UsageError

PatientId = Annotated[
    str, typer.Argument(metavar="ID", help=f"VALUE, AUTHORITY|VALUE, the store's id, {private.HINT}.", callback=private.line)
]
AsRole = Annotated[Role, typer.Option("--role", help="The role to show the toggle for.")]


def patient(
    context: typer.Context,
    number: PatientId,
    enterprise: OfEnterprise = None,
    role: AsRole = Role.ENTERPRISE,
    as_of: Annotated[str | None, typer.Option("--as-of", metavar="TIME", help="The values known at that time.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a patient's facesheet: values, locks, provenance and history."""
    with global_options.opened(context) as runtime:
        owner = configured.enterprise(runtime.settings, enterprise)
        if (at := moment(as_of, "--as-of")) is not None:
            _show_past(runtime, owner, runtime.preferences.as_of(owner, reference(number), at), as_json=as_json)
            return
        found = runtime.preferences.find(owner, reference(number), runtime.clock())
        Audit(runtime.database).note(owner, VIEWED, found.id, actor=global_options.who(), now=runtime.clock(), version=found.version)
        sheet = sheet_of(runtime, found, role)
        entries = runtime.preferences.history(owner, found.id)
        history = [plain(history_line(entry)) for entry in entries]
    if as_json:
        output.emit(sheet | {"history": history})
    else:
        show(sheet)
        rows = [
            (line["at"], line["attribute"], *(_stored(entry.attribute, one) for one in (entry.before, entry.after)), _who(line))
            for entry, line in zip(entries, history, strict=True)
        ]
        output.table(("at", "attribute", "before", "after", "by"), rows, title="History")


def _stored(attribute: str, value: Any) -> str:
    """A value of the history, which keeps phones as lists of their fields."""
    return in_words(as_value(as_tuples(attribute, value)))


def _show_past(runtime: Runtime, enterprise: str, found: AsOf, *, as_json: bool) -> None:
    Audit(runtime.database).note(enterprise, VIEWED_AS_OF, found.id, actor=global_options.who(), now=runtime.clock())
    sheet = plain(as_of_out(found))
    if as_json:
        output.emit(sheet)
        return
    output.say(f"Patient {found.id} of {enterprise} as known at {sheet['as_of']}, version {found.version}")
    output.say(f"SMS consent: {sheet['sms_consent']}\n")
    rows = [
        (name, in_words(one["value"]), one["authority"] or "", _evidence(one["evidence"]), _when(one), one["recorded"])
        for name, one in sheet["preferences"].items()
        if one["value"] not in (UNKNOWN, None, [])
    ]
    output.table(("preference", "value", "stated by", "evidence", "effective", "recorded"), rows)


def _when(one: dict[str, Any]) -> str:
    """When a value took effect, as precisely as its evidence tells, and whether other evidence may be newer."""
    until, undecided = one.get("effective_latest"), " (order unclear)" if one.get("undecided") else ""
    if until and datetime.fromisoformat(until) - datetime.fromisoformat(one["effective"]) < SECOND:
        until = None
    return f"{one['effective']} to {until}{undecided}" if until else f"{one['effective']}{undecided}"


def show(sheet: dict[str, Any]) -> None:
    """Prints the facesheet, for people."""
    output.say(f"Patient {sheet['id']} of {sheet['enterprise']}, version {sheet['version']}")
    output.say("Identifiers: " + "; ".join(f"{one['authority']}|{one['value']} {one['type']}".strip() for one in sheet["identifiers"]))
    synced = "; ".join(f"{one['source']} since {one['since']}, last received {one['last_heard']}" for one in sheet["synced"])
    if sheet["birth_date"]:
        output.say(f"Born: {sheet['birth_date']}")
    output.say(f"Synced: {synced or 'no'}")
    output.say(f"SMS consent: {sheet['sms_consent']['display']}")
    for one in sheet["opted_out"]:
        output.say(f"Opted out of {one['channel']} by {one['authority']}{' about ' + one['topic'] if one['topic'] else ''}")
    output.say(f"Do Not Contact toggle: {toggle_in_words(sheet['toggle'])}")
    for one in sheet["unreadable"]:
        output.say(f"Unreadable: {one['attribute']} from {one['source']} since {one['since']} ({one['reason']})")
    output.say()
    rows = [
        (name, in_words(one["value"]), one["locked_by"] or "", one["authority"] or "", _evidence(one["evidence"]), _when(one))
        for name, one in sheet["preferences"].items()
        if one["value"] not in (UNKNOWN, None, [])
    ]
    output.table(("preference", "value", "locked by", "stated by", "evidence", "effective"), rows)
    output.say()


def toggle_in_words(toggle: dict[str, Any]) -> str:
    """The toggle as one line of text."""
    if not toggle["visible"]:
        return "not shown"
    state = "can be changed" if toggle["enabled"] else f"cannot be changed ({toggle['reason']})"
    return f"{toggle['value']}, {state}{', mastered by ' + toggle['mastered_by'] if toggle['mastered_by'] else ''}"


def in_words(value: Any) -> str:
    """A preference's value as text."""
    if isinstance(value, list):
        return "; ".join(in_words(one) for one in value)
    if isinstance(value, dict) and "state" in value:
        return consent_in_words(value)
    if isinstance(value, dict) and "number" in value:
        return f"{value['number']} ({value['kind']}{', textable' if value.get('textable') else ''})"
    return {True: "yes", False: "no", None: "unknown"}.get(value, str(value)) if not isinstance(value, str) else value


def consent_in_words(value: dict[str, Any]) -> str:
    """SMS consent before or after a change, with the line and the numbers if they are known."""
    state = str(value["state"]).replace("_", " ")
    if "line" not in value:
        return state
    about = f" about {value['topic']}" if value["topic"] else ""
    about += f", {value['category']} messages" if "category" in value else ""
    return f"{state}: {value['line'] or 'every line'} to {', '.join(value['numbers']) or 'any number'}{about}"


def _evidence(evidence: dict[str, Any] | None) -> str:
    return f"{evidence['id']} {evidence['path']}" if evidence else ""


def _who(line: dict[str, Any]) -> str:
    return f"{line['authority']}{' ' + line['actor'] if line['actor'] else ''}, {_evidence(line['evidence'])}"


def decide(
    context: typer.Context,
    number: PatientId,
    message_type: Annotated[MessageType, typer.Option("--type", help="The purpose of the message.")],
    channels: Annotated[str, typer.Option(help="The channels the message can use, comma-separated: sms,voice,email.")],
    line: Annotated[str | None, typer.Option(help="The sending number, for texts.")] = None,
    topic: Annotated[str | None, typer.Option(help="The topic, if the EMR keeps topics.")] = None,
    category: Annotated[str | None, typer.Option(help="marketing or informational, if known.")] = None,
    method: Annotated[Method | None, typer.Option("--appointment-method", help="The method chosen for this appointment.")] = None,
    phone: Annotated[str | None, typer.Option("--appointment-phone", help="The phone number chosen for this appointment.")] = None,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="The time of sending. Default: now.")] = None,
    enterprise: OfEnterprise = None,
    as_json: AsJson = False,
) -> None:
    """Decide whether, how and where to send a message to a patient, and why."""
    names, when = _channels(channels), moment(at, "--at")
    if category not in (None, *CATEGORIES):
        raise UsageError(f"--category must be one of {', '.join(CATEGORIES)}")
    with global_options.opened(context) as runtime:
        owner = configured.enterprise(runtime.settings, enterprise)
        numbering = runtime.preferences.numbering(owner)
        ask = DecisionRequest(
            message_type=message_type.value,
            channels=names,
            line=spelled(line, numbering),
            topic=topic,
            category=category,
            appointment=Appointment(method, _number(phone, numbering)) if method or phone else None,
            at=when,
        )
        decision = decision_of(runtime, owner, reference(number), ask, global_options.who())
    if as_json:
        output.emit(decision)
    else:
        show_decision(decision)


def spelled(line: str | None, numbering: Numbering) -> str | None:
    """A line in its canonical form. Raises :class:`UsageError` for an invalid one."""
    if line is None:
        return None
    try:
        return numbering.line(line)
    except ValueRefused as error:
        raise UsageError(f"--{error}") from error


def _number(text: str | None, numbering: Numbering) -> str | None:
    candidates = numbering.candidates(text) if text else ()
    if text and len(candidates) != 1:
        raise UsageError("--appointment-phone: not a valid phone number; write it in E.164, like +12175550100")
    return candidates[0] if candidates else None


def show_decision(decision: dict[str, Any]) -> None:
    """Prints the decision, for people."""
    send = decision["decision"] == "send"
    output.say(f"send: {decision['channel']} to {decision['address']}" if send else "do not send")
    rows = [
        ("decision", decision["id"]),
        ("language", decision["language"]),
        ("reasons", ", ".join(decision["reasons"])),
        ("skipped", ", ".join(f"{one['channel']}: {one['reason']}" for one in decision["skipped"])),
        ("evidence", "; ".join(f"{one['attribute']} by {one['authority']} ({one['id']} {one['path']})" for one in decision["evidence"])),
        ("as of", decision["as_of"]),
        ("stale", "yes" if decision["stale"] else "no"),
    ]
    output.table(("", ""), [row for row in rows if row[1]])


def _channels(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names or set(names) - set(Channel):
        raise UsageError(f"--channels must be one or more of {', '.join(Channel)}, comma-separated")
    return names
