"""A source that reads only some of a server's patients: a notification about another one brings nobody in."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.base import Fetch
from adapters.fhir.identity import RESOURCE_ID
from adapters.rehearsal.emr import RehearsalEmr
from store.domain.patient import PatientRef
from store.errors import PatientUnknown
from store.runs.encryption import new_key
from store.runs.pushed_reads import PushedReads
from store.runs.runs import RunKind
from sync.config import load
from sync.push_reader import PushReader
from sync.runtime import Runtime, lane

SECRET = "a secret of the subscription"


@contextlib.contextmanager
def reading(url: str, folder: Path, **settings: Any) -> Iterator[Runtime]:
    """A site whose source has these settings, and that has read nobody yet."""
    with RehearsalEmr(patients=5, seed=3) as emr:
        source = emr.fhir_source(enterprise="general") | {"schedule": {"every": "1h"}, "push": {"secret": SECRET}} | settings
        configuration = {
            "database": url,
            "payload_keys": {"current": "k1", "keys": {"k1": new_key()}},
            "enterprises": {"general": {"sync_contact_preferences": True, "default_region": "US", "authorities": emr.authorities}},
            "sources": {"emr": source},
        }
        file = folder / "config.yaml"
        file.write_text(json.dumps(configuration))
        with contextlib.closing(Runtime.open(load(file, {}))) as runtime:
            yield runtime


def is_known(runtime: Runtime, name: str) -> bool:
    try:
        runtime.preferences.find("general", PatientRef(authority="emr", type=RESOURCE_ID, value=name))
    except PatientUnknown:
        return False
    return True


def last_heard(runtime: Runtime) -> Any:
    with runtime.database.read() as connection:
        return runtime.database.select(connection, "SELECT max(last_heard) FROM assertions", [])


def reported(runtime: Runtime, name: str) -> None:
    """The EMR reports a patient, who is then read."""
    reads, now = PushedReads(runtime.database), runtime.clock()
    reads.add("emr", "general", {name}, now, now=now)
    reader = PushReader(runtime, lambda job: None)
    reader.once()
    reader._pool.shutdown(wait=True)


@pytest.mark.parametrize(
    ("settings", "is_read"),
    [({}, True), ({"search": {"organization": "Organization/ours"}}, False), ({"read": "crawl", "group": "ours"}, False)],
    ids=["everybody", "a search", "a group"],
)
def test_a_patient_who_may_be_outside_what_the_source_reads_is_left_to_the_pull(
    database_url: str, tmp_path: Path, settings: dict[str, Any], *, is_read: bool
) -> None:
    with reading(database_url, tmp_path, **settings) as runtime:
        reported(runtime, "rp-1")
        assert is_known(runtime, "rp-1") is is_read
        feed = runtime.feed("emr")
        runtime.engine.run(lane(feed), runtime.polled(feed), Fetch(patient="rp-2"), RunKind.INCREMENTAL)
        assert is_known(runtime, "rp-2")
        before = last_heard(runtime)
        reported(runtime, "rp-2")
        assert last_heard(runtime) > before
