"""A STOP from the provider's webhook to the EMR and back, with the rehearsal provider and EMR on real sockets, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from adapters.rehearsal.emr import RehearsalEmr
from adapters.rehearsal.mllp_receiver import UpdateListener
from adapters.rehearsal.population import mrn
from adapters.rehearsal.provider import RehearsalProvider
from store.domain.write_back import WriteBackState
from store.patients.write_backs import WriteBacks
from sync.commands.output import progress
from sync.demo import ADT, CONSENTS, staged, stop
from sync.demo_stop import LINE as DEMO_LINE
from sync.demo_stop import PROVIDER, PUBLIC, SECRET
from sync.service import Service
from tests.sync.providers import LINE, Clinic, clinic
from tests.sync.providers import PUBLIC as CLINIC
from tests.sync.providers import SECRET as TOKEN

PATIENTS = 100


class Played:
    """The service after a STOP went round."""

    def __init__(self, emr: RehearsalEmr, service: Service, updates: UpdateListener) -> None:
        self.emr, self.service, self.updates = emr, service, updates
        self.stop = stop(emr, service, updates)
        self.shown = self.stop.play()
        self.index = next(index for index in range(PATIENTS) if mrn(index).encode() in updates.messages[0])


def texts(decision: dict[str, Any]) -> str:
    """Why no text may be sent; empty if one may."""
    return "".join(one["reason"] for one in decision["skipped"] if one["channel"] == "sms")


@pytest.fixture
def played(database_url: str, tmp_path: Path) -> Iterator[Played]:
    with ExitStack() as stack:
        emr = stack.enter_context(RehearsalEmr(patients=PATIENTS, seed=5))
        updates = stack.enter_context(UpdateListener(emr.written))
        on_progress = stack.enter_context(progress("reading"))
        service, _ = stack.enter_context(staged(emr, tmp_path, on_progress, updates, database_url))
        yield Played(emr, service, updates)


def test_a_signed_stop_stops_the_next_decision_reaches_the_emr_twice_and_comes_back_unchanged(played: Played) -> None:
    shown = played.shown
    assert (shown.forged, shown.after_forged["decision"]) == ([401], "send")
    assert (shown.before["decision"], shown.accepted) == ("send", [200])
    assert texts(shown.after) == texts(shown.while_the_emr_says_yes) == texts(shown.at_the_end) == "sms_opted_out"
    (consent,) = played.emr.written.consents
    assert (consent["provision"]["type"], consent["patient"]["reference"]) == ("deny", f"Patient/rp-{played.index}")
    (update,) = played.updates.messages
    assert b"PD1|||||||||||01\r" in update
    assert (shown.from_adt, shown.from_fhir) == ("unchanged", {"unchanged": 2})
    counts = WriteBacks(played.service.runtime.database).counts()
    assert counts == {(CONSENTS, WriteBackState.SENT): 1, (ADT, WriteBackState.SENT): 1}


def test_the_patients_start_ends_it_although_the_emr_repeated_the_stop(played: Played) -> None:
    number = next(one.e164 for one in played.emr.entry(played.index).person.numbers if one.kind == "cell")
    url = f"http://{played.service.address}/v1/inbound/{PROVIDER}"
    assert RehearsalProvider(url, SECRET, f"{PUBLIC}/v1/inbound/{PROVIDER}").reply(number, DEMO_LINE, "START") == [200]
    assert played.stop.decision(played.index)["decision"] == "send"


@pytest.fixture
def receiver(database_url: str, tmp_path: Path) -> Iterator[Clinic]:
    with clinic(database_url, tmp_path) as found:
        yield found


def test_the_provider_sends_again_after_503_until_the_stop_is_kept(receiver: Clinic) -> None:
    number = receiver.patient()
    with ExitStack() as down:
        provider = RehearsalProvider(f"http://127.0.0.1:{receiver.port}/v1/inbound/twilio", TOKEN, f"{CLINIC}/v1/inbound/twilio")
        provider.wait = down.close
        down.enter_context(receiver.database_down())
        answers = provider.reply(number, LINE, "STOP")
    assert (answers[0], answers[-1]) == (503, 200)
    assert not receiver.may_text(number)
