"""The output of the demo, on the terminal or as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from adapters.rehearsal.emr import RehearsalEmr
from adapters.rehearsal.mllp_receiver import UpdateListener
from store.domain.lock import Role
from store.runs.runs import RunStatus
from sync import demo as stage
from sync.answers import sheet_of
from sync.commands import output
from sync.commands.patients import toggle_in_words
from sync.commands.runs import summary
from sync.runtime import UsageError
from sync.service import Service
from sync.signals import ended_by_signals


def play(emr: RehearsalEmr, folder: Path, *, once: bool, as_json: bool) -> None:
    """Runs the whole demo; then serves, unless ``once``."""
    output.note(f"Rehearsal EMR with {emr.chart.population.size} synthetic patients at {emr.base_url}")
    with (
        UpdateListener(emr.written) as updates,
        output.progress("reading the EMR over FHIR") as on_progress,
        stage.staged(emr, folder, on_progress, updates) as (service, watcher),
    ):
        stage.read_changes(emr, service, watcher)
        acknowledged = stage.send_messages(emr, service, lambda done: on_progress(done, None))
        shown = _findings(emr, service, watcher, acknowledged) | {"stop": stage.stop(emr, service, updates).play().plain()}
        if as_json:
            output.emit(shown)
        else:
            _show(shown)
        if any(run["status"] != RunStatus.DONE for run in shown["runs"]):
            raise typer.Exit(1)
        if not once:
            _serve(service, shown["patient"]["id"])


def _findings(emr: RehearsalEmr, service: Service, watcher: stage.RunWatcher, acknowledged: dict[str, int]) -> dict[str, Any]:
    patient = stage.locked_patient(emr, service)
    return {
        "address": f"http://{service.address}",
        "runs": [summary(run) for run in watcher.runs],
        "acknowledged": acknowledged,
        "patient": sheet_of(service.runtime, patient, Role.ENTERPRISE),
        "refused": stage.refused_change(service, patient),
        "decisions": [{"ask": what, "answer": answer} for what, answer in stage.decisions(emr, service)],
    }


def _show(shown: dict[str, Any]) -> None:
    rows = [(run["source"], run["kind"], run["status"], output.counted(run["counts"]), run["started"]) for run in shown["runs"]]
    output.table(("source", "run", "status", "counts", "started"), rows, title="Runs")
    codes = ", ".join(f"{number} {code}" for code, number in shown["acknowledged"].items())
    output.say(f"ADT messages received over MLLP and acknowledged after commit: {codes}\n")
    patient = shown["patient"]
    output.say(f"Patient {patient['id']}, synced by {', '.join(one['source'] for one in patient['synced'])}")
    output.say(f"  Do Not Contact toggle: {toggle_in_words(patient['toggle'])}")
    output.say(f"  an enterprise user tries to change it: refused: {shown['refused']}\n")
    output.table(
        ("request", "answer", "reason"), [(one["ask"], _answer(one["answer"]), _because(one["answer"])) for one in shown["decisions"]]
    )
    output.say("")
    _show_stop(shown["stop"])


def _show_stop(stop: dict[str, Any]) -> None:
    """The steps of a STOP, one line each."""
    rows = [
        ("before", "", _whether(stop["before"])),
        ("a forged STOP arrives", f"answered {stop['forged'][-1]}", _whether(stop["after_forged"])),
        ("the provider's signed STOP arrives", f"answered {stop['accepted'][-1]}", _whether(stop["after"])),
        ("the EMR still says yes (ADT)", "", _whether(stop["while_the_emr_says_yes"])),
        ("the EMR is told", f"{output.number(stop['as_consents'], 'Consent')}, {output.number(stop['as_updates'], 'ADT^A31')}", ""),
        ("the EMR repeats it by ADT", stop["from_adt"], ""),
        ("the EMR repeats it over FHIR", output.counted(stop["from_fhir"]), _whether(stop["at_the_end"])),
    ]
    output.table(("a STOP and the EMR", "result", "next text"), rows)


def _whether(decision: dict[str, Any]) -> str:
    if decision["decision"] == "send":
        return "send"
    return f"do not send ({', '.join(one['reason'] for one in decision['skipped'] if one['channel'] == 'sms')})"


def _answer(decision: dict[str, Any]) -> str:
    return f"send by {decision['channel']} to {decision['address']}" if decision["decision"] == "send" else "do not send"


def _because(decision: dict[str, Any]) -> str:
    skipped = [f"{one['channel']}: {one['reason']}" for one in decision["skipped"]]
    return ", ".join(skipped or decision["reasons"] or ["nothing prevents it"])


def _serve(service: Service, patient: str) -> None:
    _, key = service.runtime.keys.create("demo", stage.ENTERPRISE, Role.SENDER, service.runtime.clock())
    output.note(f"\nServing at http://{service.address} until Ctrl-C. API key for a sender: {key}")
    output.note(
        f"The facesheet of this patient: http://{service.address}/patients/{patient}\nThe console: http://{service.address}/sources"
    )
    for name, password, role in stage.people(service):
        output.note(f"  sign in as {name} ({role}), password {password}")
    with ended_by_signals(service.ended):
        service.wait()
    if service.failure:
        raise UsageError(service.failure)
