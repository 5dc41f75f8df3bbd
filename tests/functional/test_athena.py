"""athenahealth end to end: its list over a real socket, the engine, the store. The run dies between a read and its commit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.base import Batch, Fetch
from adapters.rest.athena import AthenaAdapter
from store.domain.patient import PatientRef
from sync.config import load
from sync.runtime import Runtime, lane, polled
from tests.adapters.rest.athena_server import Practice, practising

CONFIG = """\
database: sqlite:///store.db
enterprises: {{clinic: {{sync_contact_preferences: true, default_region: US}}}}
sources:
  athena:
    enterprise: clinic
    adapter: rest.athena
    preset: athenahealth
    base_url: {address}
    practice_id: 195900
    page_size: 2
    patient_id: {{authority: ATHENA, type: MR}}
    auth: {{kind: oauth2, token_url: "{address}/oauth2/v1/token", client_id: emr-sync, client_secret: "${{ATHENA_SECRET}}"}}
"""


class Killed(BaseException):
    """The process is gone."""


class Dying:
    """The adapter, in a process that is killed after so many reads: the last one was answered and is not committed."""

    def __init__(self, adapter: AthenaAdapter, reads: int) -> None:
        self.adapter, self.reads, self.mapper = adapter, reads, adapter.mapper

    def fetch(self, request: Fetch) -> Iterator[Batch]:
        for number, batch in enumerate(self.adapter.fetch(request), 1):
            if number == self.reads:
                raise Killed
            yield batch


@pytest.fixture
def practice() -> Iterator[Practice]:
    with practising() as running:
        for number in range(1, 6):
            running.change(str(number), mobilephone=f"217555010{number}", donotcall=False)
        yield running


@pytest.fixture
def runtime(tmp_path: Path, practice: Practice) -> Iterator[Runtime]:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG.format(address=practice.address))
    opened = Runtime.open(load(file, {"ATHENA_SECRET": "secret"}))
    yield opened
    opened.close()


def refused(runtime: Runtime) -> dict[str, str]:
    """Do Not Contact of everybody who is known, by the EMR's number."""
    found = {}
    for number in range(1, 6):
        patient = runtime.preferences.find("clinic", PatientRef(value=str(number), authority="ATHENA"))
        found[str(number)] = patient.contact.do_not_contact
    return found


@pytest.mark.parametrize("reads", range(1, 9))
def test_killed_between_a_read_and_its_commit_nothing_is_lost(runtime: Runtime, practice: Practice, reads: int) -> None:
    feed = runtime.feed("athena")
    adapter = polled(feed)
    assert isinstance(adapter, AthenaAdapter)
    runtime.engine.run(lane(feed), adapter, Fetch(), "incremental")
    for number in ("2", "4"):
        practice.change(number, donotcall=True)
    try:
        runtime.engine.run(lane(feed), Dying(adapter, reads), Fetch(), "incremental")  # type: ignore[arg-type]
    except Killed:
        assert runtime.journal.runs(source="athena")[0].status == "failed"
    run = runtime.engine.run(lane(feed), adapter, Fetch(), "incremental")
    assert run.status == "done"
    assert refused(runtime) == {"1": "no", "2": "yes", "3": "no", "4": "yes", "5": "no"}
    assert all(at is not None for at in practice.processed.values())
    assert "rejected" not in run.counts


def test_a_second_run_finds_nothing_new(runtime: Runtime) -> None:
    feed = runtime.feed("athena")
    first = runtime.engine.run(lane(feed), polled(feed), Fetch(), "incremental")
    again = runtime.engine.run(lane(feed), polled(feed), Fetch(), "incremental")
    assert (first.counts["applied"], set(again.counts)) == (5, {"unchanged"})
