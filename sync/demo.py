"""The demo: a sync of the rehearsal EMR into SQLite, with the real adapters, scheduler, store and sockets.

It contains no sync logic: it writes a configuration, starts the service as ``serve`` does, and shows the results.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapters.rehearsal.emr import RehearsalEmr
from adapters.rehearsal.mllp_receiver import UpdateListener
from store.domain.decision_request import DecisionRequest
from store.domain.lock import Actor, Role
from store.domain.patient import Patient, PatientRef
from store.errors import PreferenceLocked
from store.preference import NO
from store.runs.runs import Run
from store.users.users import Users
from sync import demo_stop
from sync.answers import decision_of
from sync.config import load
from sync.demo_stop import Stop
from sync.queue import Job
from sync.run import Progress
from sync.runtime import UsageError
from sync.service import Service, serving

ENTERPRISE, FHIR, ADT, CONSENTS = "rehearsal-clinic", "rehearsal-fhir", "rehearsal-adt", "rehearsal-consents"
LINE = "+12175550100"
CONTACT = "call the registration desk, 217-555-0100"
PATIENCE = 300.0
LOOPBACK = "127.0.0.1"


@dataclass(slots=True)
class RunWatcher:
    """Watches the reading of the source: passes progress on and collects ended runs."""

    on_progress: Progress
    runs: list[Run] = field(default_factory=list)
    _ended: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def progress(self, source: str) -> Progress:
        """The callback for the worker's progress."""
        return self.on_progress

    def ended(self, run: Run) -> None:
        """Called by the worker when a run has ended."""
        self.runs.append(run)
        self._ended.release()

    def wait(self) -> Run:
        """Waits for the next run to end."""
        if not self._ended.acquire(timeout=PATIENCE):
            raise UsageError(f"the demo's run did not end within {PATIENCE:g} s; check whether this machine is overloaded, then try again")
        return self.runs[-1]


def configuration(emr: RehearsalEmr, folder: Path, updates: UpdateListener | None = None, database: str = "sqlite:///demo.db") -> Path:
    """Writes the configuration that a site would use for this EMR. It is JSON, which is valid YAML.

    ``updates``: the EMR's listener. With it, replies arrive from a messaging provider, and opt-outs are written to the EMR.
    """
    (folder / "private-key.pem").write_text(emr.private_key)
    fhir = emr.fhir_source(enterprise=ENTERPRISE, private_key="file:private-key.pem")
    adt = emr.hl7_source(enterprise=ENTERPRISE, listen=f"{LOOPBACK}:0")
    enterprise = {
        "display_name": "Rehearsal Clinic",
        "sync_contact_preferences": True,
        "default_region": "US",
        "authorities": emr.authorities,
    }
    told: dict[str, Any] = {}
    if updates is not None:
        adt = adt | demo_stop.update_sink(f"{LOOPBACK}:{updates.port}", CONSENTS)
        told = {CONSENTS: demo_stop.consent_source(fhir, ADT)}
    settings = {
        "database": database,
        "api": {"listen": f"{LOOPBACK}:0"},
        "logs": {"level": "warning"},
        "enterprises": {ENTERPRISE: enterprise},
        "sources": {
            FHIR: fhir | {"schedule": {"every": "1h"}, "freshness": "2h", "contact_for_changes": CONTACT},
            ADT: adt | {"freshness": "26h"},
            **told,
        },
        "providers": demo_stop.provider_settings(ENTERPRISE) if updates is not None else {},
    }
    file = folder / "config.yaml"
    file.write_text(json.dumps(settings, indent=2))
    return file


@contextmanager
def staged(
    emr: RehearsalEmr, folder: Path, on_progress: Progress, updates: UpdateListener | None = None, database: str = "sqlite:///demo.db"
) -> Iterator[tuple[Service, RunWatcher]]:
    """The service with the rehearsal EMR, after the scheduler has read everything once."""
    watcher = RunWatcher(on_progress)
    with serving(load(configuration(emr, folder, updates, database)), watch=watcher) as service:
        watcher.wait()
        yield service, watcher


def read_changes(emr: RehearsalEmr, service: Service, watcher: RunWatcher) -> Run:
    """Some patients change their preferences; the next read fetches only them."""
    emr.tick()
    service.queue.put(Job(FHIR))
    return watcher.wait()


def send_messages(emr: RehearsalEmr, service: Service, on_progress: Callable[[int], None]) -> dict[str, int]:
    """Others change their preferences, and the EMR sends ADT messages to the listener. Returns counts by acknowledgment code."""
    acknowledged = iter(range(1, 1 << 62))
    host, port = _listening(service)
    changed = emr.tick()
    report = emr.send(host, port, emr.messages(indexes=changed), on_ack=lambda *_: on_progress(next(acknowledged)))
    return dict(report.codes)


def stop(emr: RehearsalEmr, service: Service, updates: UpdateListener) -> Stop:
    """A patient's STOP, to be played: it arrives from the provider and goes back to the EMR."""
    parts = (emr, updates, service.runtime, ENTERPRISE, CONSENTS, ADT)
    return Stop(*parts, str(service.address), _listening(service))


def _listening(service: Service) -> tuple[str, int]:
    """Where the service receives ADT messages."""
    listener: Any = service.listeners[0].listener
    if not listener.bound.wait(PATIENCE):
        raise UsageError("the demo's listener did not start")
    host, port = listener.address
    return host, port


def first_patient(emr: RehearsalEmr, wanted: Callable[[Any], bool]) -> PatientRef:
    """The first patient of the population for whom ``wanted`` is true."""
    authority = next(iter(emr.authorities))
    for index in range(emr.chart.population.size):
        person = emr.entry(index).person
        if person.deceased_on is None and wanted(person):
            return PatientRef(authority=authority, value=person.mrn)
    raise UsageError("too few patients to show everything; use --patients 100 or more")


def refused_change(service: Service, patient: Patient) -> str:
    """The error an enterprise user gets when changing a value that the EMR masters."""
    runtime = service.runtime
    try:
        runtime.preferences.set_do_not_contact(
            ENTERPRISE, patient.id, NO, actor=Actor(Role.ENTERPRISE, "demo user"), reason="demo", now=runtime.clock()
        )
    except PreferenceLocked as locked:
        return str(locked)
    raise AssertionError("the lock did not hold")


def decisions(emr: RehearsalEmr, service: Service) -> list[tuple[str, dict[str, Any]]]:
    """A few requests, each with its decision."""
    runtime = service.runtime
    do_not_contact = first_patient(emr, lambda person: person.do_not_contact is True and bool(person.numbers))
    accepts_texts = first_patient(
        emr, lambda person: person.do_not_contact is not True and person.texting_ok is True and person.preferred_method == "T"
    )
    reachable = runtime.preferences.find(ENTERPRISE, accepts_texts)
    requests = [
        ("reminder (automation) to a patient with Do Not Contact", do_not_contact, "automation", ("sms", "voice")),
        ("broadcast to the same patient (Do Not Contact stops automations only)", do_not_contact, "broadcast", ("sms", "voice", "email")),
        ("reminder to a patient who accepts texts", accepts_texts, "automation", ("sms", "voice")),
        ("broadcast to that patient, after a STOP reply", accepts_texts, "broadcast", ("sms", "voice")),
    ]
    answers = []
    for what, ref, kind, channels in requests:
        if "STOP" in what:
            now = runtime.clock()
            for phone in reachable.contact.phones:
                runtime.preferences.record_reply(ENTERPRISE, LINE, phone.number, "Stop", now, now)
        answers.append((what, decision_of(runtime, ENTERPRISE, ref, DecisionRequest(message_type=kind, channels=channels, line=LINE))))
    return answers


def people(service: Service) -> Iterator[tuple[str, str, Role]]:
    """Two users of the pages: name, password, role."""
    users = Users(service.runtime.database)
    for name, role in (("pat", Role.ENTERPRISE), ("olga", Role.OPERATOR)):
        password = users.add(name, ENTERPRISE, role, service.runtime.clock())[1]
        if password is not None:
            yield name, password, role


def locked_patient(emr: RehearsalEmr, service: Service) -> Patient:
    """A patient with Do Not Contact from the EMR."""
    return service.runtime.preferences.find(ENTERPRISE, first_patient(emr, lambda person: person.do_not_contact is True))
