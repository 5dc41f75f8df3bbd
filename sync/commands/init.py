"""``init``: writes a first configuration from the answers of an engineer, and checks it before it is written."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from sync.commands import configured, output
from sync.commands.init_questions import AskedSetting, algorithm, known, questions
from sync.commands.output import AsJson
from sync.config import inspect_text
from sync.config.problems import UsageError
from sync.config.starter import ADAPTERS, DELIMITED, HL7, HL7_FILES, HL7_SFTP, Starter

FILES, FOLDERS = ("private-key", "password-file"), (HL7_FILES, DELIMITED)
WITHOUT = {
    ("private-key", "fhir"): " without --client-id",
    ("group", "fhir"): " without --level group",
    ("password-file", "hl7v2"): " beside --private-key",
}
"""Option and protocol -> why it is not needed."""


def init(
    context: typer.Context,
    protocol: Annotated[
        str | None,
        typer.Argument(help="hl7v2 (messages over MLLP), hl7v2.files, hl7v2.sftp, fhir (a FHIR server), fhir.bulk or files.delimited."),
    ] = None,
    enterprise: Annotated[str | None, typer.Option(help="A short name of your organization.")] = None,
    source: Annotated[str | None, typer.Option(help="A short name of the source.")] = None,
    region: Annotated[str | None, typer.Option(help="The country of phone numbers without a country code, like US.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="The time zone of the EMR, like America/Chicago.")] = None,
    preset: Annotated[str | None, typer.Option(help="The preset of the EMR (docs/mapping.md lists them).")] = None,
    authority: Annotated[str | None, typer.Option(help="The assigning authority (PID-3.4), system or issuer of the identifier.")] = None,
    identifier_type: Annotated[str | None, typer.Option(help="The type of that identifier.")] = None,
    listen: Annotated[str | None, typer.Option(help="HL7 v2: the address to listen on for MLLP.")] = None,
    base_url: Annotated[str | None, typer.Option(help="FHIR: the base URL of the server.")] = None,
    client_id: Annotated[str | None, typer.Option(help="FHIR: the client id for SMART Backend Services.")] = None,
    private_key: Annotated[Path | None, typer.Option(help="FHIR, SFTP: the file with the client's private key.")] = None,
    level: Annotated[str | None, typer.Option(help="Bulk export: patient, group or system.")] = None,
    group: Annotated[str | None, typer.Option(help="Bulk export: the id of the group.")] = None,
    path: Annotated[str | None, typer.Option(help="Files: their folder, on this machine or on the SFTP server.")] = None,
    host: Annotated[str | None, typer.Option(help="SFTP: the server.")] = None,
    user: Annotated[str | None, typer.Option(help="SFTP: the user name.")] = None,
    password_file: Annotated[Path | None, typer.Option(help="SFTP: the file with the password, if there is no private key.")] = None,
    host_key: Annotated[str | None, typer.Option(help="SFTP: the host key of the server, as ssh-keyscan shows it.")] = None,
    file: Annotated[str | None, typer.Option(help="Delimited files: the name of a file, with %Y %m %d for its date.")] = None,
    patient_column: Annotated[str | None, typer.Option(help="Delimited files: the column with the patients' identifier.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a small configuration with comments, for HL7 v2, FHIR or delimited files. It asks for what is missing.

    It never overwrites a file.
    """
    target = configured.file(context)
    if target.exists():
        raise UsageError(f"{target} exists and is never overwritten; name another file: emr-sync -c FILE init")
    options: dict[str, object] = {
        "protocol": protocol,
        "enterprise": enterprise,
        "source": source,
        "region": region,
        "time-zone": time_zone,
        "preset": preset,
    }
    options |= {"authority": authority, "identifier-type": identifier_type, "listen": listen, "base-url": base_url}
    options |= {"client-id": client_id, "private-key": private_key, "level": level, "group": group, "path": path, "host": host}
    options |= {"user": user, "password-file": password_file, "host-key": host_key, "file": file, "patient-column": patient_column}
    answers = _answers({name: str(text) for name, text in options.items() if text is not None})
    starter = Starter(**{name.replace("-", "_"): text for name, text in (answers | _beside(answers, target)).items()})
    _checked(starter, target)
    _write(starter.text, target)
    _report(starter, target, as_json=as_json)


def _answers(options: Mapping[str, str]) -> dict[str, str]:
    """An answer to each question: the option, the default, or what a person types."""
    kinds = ", ".join(ADAPTERS)
    kind = _answer(AskedSetting("protocol", f"How the EMR delivers data ({kinds})", known, HL7), options)
    answers: dict[str, str] = {}
    while left := [one for one in questions(kind, answers) if one.option not in answers]:
        answers[left[0].option] = _answer(left[0], options)
    for name in options:
        if name not in ("protocol", *answers):
            raise UsageError(f"--{name} is not for {kind}{WITHOUT.get((name, kind.partition('.')[0]), '')}; remove it")
    return {"protocol": kind} | answers


def _answer(question: AskedSetting, options: Mapping[str, str]) -> str:
    if question.option in options:
        try:
            return question.check(options[question.option])
        except ValueError as error:
            raise UsageError(f"{_flag(question)}: {error}") from error
    if not sys.stdin.isatty():
        if not question.default and not question.may_be_empty:
            raise UsageError(f"{_flag(question)} is missing; give it, or run init in a terminal, where it asks")
        return question.default
    return _asked(question)


def _flag(question: AskedSetting) -> str:
    return question.option if question.option == "protocol" else f"--{question.option}"


def _asked(question: AskedSetting) -> str:
    """What a person types. Asked again until it can be used."""
    while True:
        default = question.default or ("" if question.may_be_empty else None)
        text = typer.prompt(question.text, default=default, show_default=bool(default), err=True)
        try:
            return question.check(str(text))
        except ValueError as error:
            output.note(f"  {error}")


def _beside(answers: Mapping[str, str], target: Path) -> dict[str, str]:
    """Files and folders as the configuration names them: relative paths are relative to its file."""
    local = (*FILES, "path") if answers["protocol"] in FOLDERS else FILES
    found = {name: Path(answers[name]) for name in local if answers.get(name)}
    named = {name: str(file if file.is_absolute() or target.parent == Path() else file.absolute()) for name, file in found.items()}
    is_signing = "private-key" in found and answers["protocol"] != HL7_SFTP
    return named | ({"alg": algorithm(found["private-key"])[0]} if is_signing else {})


def _checked(starter: Starter, file: Path) -> None:
    """Raises ``UsageError`` for the first error that ``check-config`` would report."""
    from sync.config.whole import check as check_whole

    wrong = [one for one in inspect_text(starter.text, file, more=check_whole).mistakes if not one.warning]
    if wrong:
        raise UsageError(f"nothing was written: {wrong[0].where}: {wrong[0].message}")


def _write(text: str, file: Path) -> None:
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise UsageError(f"{file} cannot be written ({error.strerror}); name another file with -c") from error


def _report(starter: Starter, file: Path, *, as_json: bool) -> None:
    if as_json:
        output.emit({"file": str(file), "enterprise": starter.enterprise, "source": starter.source, "adapter": ADAPTERS[starter.protocol]})
        return
    steps = {
        "check-config": "shows what is configured, or every error and its fix",
        f"map {starter.source} FILE": "lists the codes in sample files that need a line under 'mapping'",
        f"explain {starter.source} FILE": "shows what a sample states",
        "serve": "runs the service",
    }
    output.say(f"{file}: written. Next, add the EMR's own codes under 'mapping'. These help:")
    width = max(map(len, steps))
    for command, what in steps.items():
        output.say(f"  emr-sync {command:{width}}  {what}")
