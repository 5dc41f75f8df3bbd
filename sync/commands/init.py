"""``init``: writes a first configuration from the answers of an engineer, and checks it before it is written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from adapters.address import address
from adapters.schema import web_address
from sync.commands import configured, output
from sync.commands.output import AsJson
from sync.config import inspect_text
from sync.config.loading import NAME
from sync.config.presets import names, preset
from sync.config.problems import UsageError, one_of
from sync.config.scalars import region, time_zone
from sync.config.starter import ADAPTERS, FHIR, HL7, SUFFIX, Starter

LOCAL_TIME = Path("/etc/localtime")
ALGORITHMS = ("RS384", "ES384")
STANDARD = {HL7: "hl7v2-standard", FHIR: "fhir-standard"}


def _named(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError("not a short name; use letters, digits, '-', '_' and '.', at most 63")
    return text


def _protocol(text: str) -> str:
    if text not in ADAPTERS:
        raise ValueError(f"unknown protocol; use {HL7} (messages over MLLP) or {FHIR} (a FHIR server)")
    return text


def _listen(text: str) -> str:
    return str(address(text))


def _given(text: str) -> str:
    if not text.strip():
        raise ValueError("missing; it tells which identifier identifies a patient")
    return text.strip()


class AskedSetting(NamedTuple):
    """What ``init`` needs to know: the option, the question, the check of an answer (``ValueError`` says how to fix it), and a default.

    ``may_be_empty``: no answer is an answer, too.
    """

    option: str
    text: str
    check: Callable[[str], str]
    default: str = ""
    may_be_empty: bool = False


def _questions(protocol: str, answers: Mapping[str, str]) -> tuple[AskedSetting, ...]:
    """The questions after the protocol. One may depend on an earlier answer."""
    return (
        AskedSetting("enterprise", "Short name of your organization", _named),
        AskedSetting("source", "Short name of this source", _named, f"{answers.get('enterprise', '')}-{SUFFIX[protocol]}"),
        AskedSetting("region", "Country of phone numbers without a country code", region, "US"),
        AskedSetting("time-zone", "Time zone of the EMR", time_zone, _local_zone()),
        AskedSetting("preset", "Preset of the EMR", lambda text: _preset(text, protocol), STANDARD[protocol]),
        *(_of_fhir(answers) if protocol == FHIR else _OF_HL7),
        AskedSetting("identifier-type", "Type of that identifier", _given, "MR"),
    )


_OF_HL7 = (
    AskedSetting("listen", "Address to listen on for MLLP", _listen, "127.0.0.1:2575"),
    AskedSetting("authority", "Assigning authority of the patients' identifier, as in PID-3.4", _given),
)


def _of_fhir(answers: Mapping[str, str]) -> tuple[AskedSetting, ...]:
    key = AskedSetting("private-key", "File with the client's private key, PEM", _key_file)
    return (
        AskedSetting("base-url", "Base URL of the FHIR server", web_address),
        AskedSetting("client-id", "Client id for SMART Backend Services, or nothing", str.strip, may_be_empty=True),
        *((key,) if answers.get("client-id") else ()),
        AskedSetting("authority", "System of the patients' identifier in Patient.identifier", _given),
    )


def _key_file(text: str) -> str:
    if problem := _algorithm(Path(text))[1]:
        raise ValueError(problem)
    return text


def _algorithm(file: Path) -> tuple[str, str]:
    """The algorithm of the key in a file, and why it cannot be used; one of them is empty."""
    from adapters.fhir.signing_key import key_problem  # its library is slow to import

    try:
        text = file.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return "", "the file cannot be read; name the file with the private key, PEM"
    fitting = next((one for one in ALGORITHMS if not key_problem(text, one)), "")
    return fitting, "" if fitting else f"it {key_problem(text, ALGORITHMS[0])}"


def _preset(text: str, protocol: str) -> str:
    fitting = [name for name in names() if preset(name).protocol == protocol and preset(name).adapter in (None, ADAPTERS[protocol])]
    if text not in fitting:
        raise ValueError(f"unknown preset. {one_of(text, fitting)}")
    return text


def _local_zone() -> str:
    """The time zone of this machine, if it tells."""
    _, _, name = str(LOCAL_TIME.resolve()).partition("/zoneinfo/")
    return name or "UTC"


def init(
    context: typer.Context,
    protocol: Annotated[str | None, typer.Argument(help="hl7v2 (messages over MLLP) or fhir (a FHIR server).")] = None,
    enterprise: Annotated[str | None, typer.Option(help="A short name of your organization.")] = None,
    source: Annotated[str | None, typer.Option(help="A short name of the source.")] = None,
    region: Annotated[str | None, typer.Option(help="The country of phone numbers without a country code, like US.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="The time zone of the EMR, like America/Chicago.")] = None,
    preset: Annotated[str | None, typer.Option(help="The preset of the EMR (docs/mapping.md lists them).")] = None,
    authority: Annotated[str | None, typer.Option(help="The assigning authority (PID-3.4) or system of the patients' identifier.")] = None,
    identifier_type: Annotated[str | None, typer.Option(help="The type of that identifier.")] = None,
    listen: Annotated[str | None, typer.Option(help="HL7 v2: the address to listen on for MLLP.")] = None,
    base_url: Annotated[str | None, typer.Option(help="FHIR: the base URL of the server.")] = None,
    client_id: Annotated[str | None, typer.Option(help="FHIR: the client id for SMART Backend Services.")] = None,
    private_key: Annotated[Path | None, typer.Option(help="FHIR: the file with the client's private key, PEM.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a small configuration with comments, for HL7 v2 or FHIR. It asks what is missing, and never overwrites a file."""
    file = configured.file(context)
    if file.exists():
        raise UsageError(f"{file} exists and is never overwritten; name another file: emr-sync -c FILE init")
    options = {"protocol": protocol, "enterprise": enterprise, "source": source, "region": region, "time-zone": time_zone, "preset": preset}
    options |= {"authority": authority, "identifier-type": identifier_type, "listen": listen, "base-url": base_url}
    options |= {"client-id": client_id, "private-key": str(private_key) if private_key else None}
    answers = _answers({name: text for name, text in options.items() if text is not None})
    starter = Starter(**{name.replace("-", "_"): text for name, text in (answers | _key(answers, file)).items()})
    _checked(starter, file)
    _write(starter.text, file)
    _report(starter, file, as_json=as_json)


def _answers(options: Mapping[str, str]) -> dict[str, str]:
    """An answer to each question: the option, the default, or what a person types."""
    protocol = _answer(AskedSetting("protocol", "HL7 v2 messages or FHIR server (hl7v2, fhir)", _protocol, HL7), options)
    answers: dict[str, str] = {}
    while left := [one for one in _questions(protocol, answers) if one.option not in answers]:
        answers[left[0].option] = _answer(left[0], options)
    for name in options:
        if name not in ("protocol", *answers):
            raise UsageError(f"--{name} is not for {protocol}{' without --client-id' if protocol == FHIR else ''}; remove it")
    return {"protocol": protocol} | answers


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


def _key(answers: Mapping[str, str], file: Path) -> dict[str, str]:
    """The client's key as the configuration names it: relative paths are relative to its file."""
    if "private-key" not in answers:
        return {}
    key = Path(answers["private-key"])
    is_beside = key.is_absolute() or file.parent == Path()
    return {"private-key": str(key if is_beside else key.absolute()), "alg": _algorithm(key)[0]}


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
