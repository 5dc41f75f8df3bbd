"""``demo``: the main job, to look at. ``rehearse``: only the EMR to practise against."""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path
from signal import SIGINT, SIGTERM, signal
from typing import Annotated, Any

import typer

from adapters.rehearsal.emr import RehearsalEmr
from store.lock import Role
from sync import demo as stage
from sync.commands import output
from sync.commands.output import AsJson
from sync.commands.patients import sheet_of, toggle_in_words
from sync.commands.runs import summary
from sync.parts import Unusable
from sync.service import Service, ended_by_signals

Patients = Annotated[int, typer.Option(help="How many invented patients the rehearsal EMR has.", min=1)]
Seed = Annotated[int, typer.Option(help="The same seed is the same population.")]


def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the show instead of serving until Ctrl-C.")] = False,
    patients: Patients = 2000,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Sync a rehearsal EMR on this machine, and show what comes of it."""
    folder = Path(tempfile.mkdtemp(prefix="emr-sync-demo-"))
    try:
        with RehearsalEmr(patients=patients, seed=seed) as emr:
            _play(emr, folder, once=once, as_json=as_json)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _play(emr: RehearsalEmr, folder: Path, *, once: bool, as_json: bool) -> None:
    output.note(f"Rehearsal EMR with {emr.chart.population.size} invented patients at {emr.base_url}")
    with output.progress("reading the EMR by FHIR") as on_progress, stage.staged(emr, folder, on_progress) as (service, watched):
        stage.read_changes(emr, service, watched)
        acknowledged = stage.send_messages(emr, service, lambda done: on_progress(done, None))
        shown = _findings(emr, service, watched, acknowledged)
        if as_json:
            output.emit(shown)
        else:
            _show(shown)
        if any(run["status"] != "done" for run in shown["runs"]):
            raise typer.Exit(1)
        if not once:
            _serve(service)


def _findings(emr: RehearsalEmr, service: Service, watched: stage.Watched, acknowledged: dict[str, int]) -> dict[str, Any]:
    patient = stage.locked_patient(emr, service)
    return {
        "address": f"http://{service.address}",
        "runs": [summary(run) for run in watched.runs],
        "acknowledged": acknowledged,
        "patient": sheet_of(service.parts, patient, Role.ENTERPRISE),
        "refused": stage.refused_flip(service, patient),
        "decisions": [{"ask": what, "answer": answer} for what, answer in stage.decisions(emr, service)],
    }


def _show(shown: dict[str, Any]) -> None:
    rows = [(run["source"], run["kind"], run["status"], output.counted(run["counts"]), run["started"]) for run in shown["runs"]]
    output.table(("source", "run", "status", "counts", "started"), rows, title="Runs")
    told = ", ".join(f"{number} {code}" for code, number in shown["acknowledged"].items())
    output.say(f"ADT messages received by MLLP and acknowledged after commit: {told}\n")
    patient = shown["patient"]
    output.say(f"Patient {patient['id']}, synced by {', '.join(one['source'] for one in patient['synced'])}")
    output.say(f"  Do Not Contact toggle: {toggle_in_words(patient['toggle'])}")
    output.say(f"  an enterprise user tries to flip it: refused: {shown['refused']}\n")
    output.table(
        ("May we send?", "answer", "because"), [(one["ask"], _answer(one["answer"]), _because(one["answer"])) for one in shown["decisions"]]
    )


def _answer(decision: dict[str, Any]) -> str:
    return f"send by {decision['channel']} to {decision['address']}" if decision["decision"] == "send" else "do not send"


def _because(decision: dict[str, Any]) -> str:
    skipped = [f"{one['channel']}: {one['reason']}" for one in decision["skipped"]]
    return ", ".join(skipped or decision["reasons"] or ["nothing is against it"])


def _serve(service: Service) -> None:
    _, key = service.parts.keys.create("demo", stage.ENTERPRISE, Role.SENDER, service.parts.clock())
    output.note(f"\nServing at http://{service.address} until Ctrl-C. Ask it as a sender, with this key: {key}")
    with ended_by_signals(service):
        service.wait()
    if service.failure:
        raise Unusable(service.failure)


def rehearse(
    patients: Patients = 2000,
    seed: Seed = 1,
    port: Annotated[int, typer.Option(help="Where its FHIR endpoint listens on loopback; 0 takes any free port.")] = 0,
    send: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Send everybody's ADT messages there first.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run only the rehearsal EMR, on loopback, until Ctrl-C."""
    ended = threading.Event()
    for number in (SIGINT, SIGTERM):
        signal(number, lambda *_: ended.set())
    with RehearsalEmr(patients=patients, seed=seed, port=port) as emr:
        source = emr.fhir_source(enterprise="ENTERPRISE")
        if as_json:
            output.emit({"base_url": emr.base_url, "source": source, "authorities": emr.authorities})
        else:
            output.say(
                f"FHIR endpoint: {emr.base_url}\nClient id: {emr.client_id}\nPrivate key (good for this EMR only):\n{emr.private_key}"
            )
        if send:
            _send(emr, send)
        output.note("Until Ctrl-C")
        ended.wait()


def _send(emr: RehearsalEmr, where: str) -> None:
    host, _, port = where.rpartition(":")
    if host not in ("127.0.0.1", "localhost", "[::1]") or not port.isdecimal():
        raise Unusable("--send takes an address of this machine, like 127.0.0.1:2575")
    report = emr.send(host.strip("[]"), int(port))
    output.note(f"sent {report.sent} messages: {', '.join(f'{number} {code}' for code, number in report.codes.items())}")
