from __future__ import annotations

from datetime import timedelta

from adapters.base import SourceSettings
from sync.config.settings import Feed, Schedule
from sync.describe import described


def test_a_source_is_described_without_secrets() -> None:
    options = {"base_url": "https://user:secret@ehr.example:8443/r4?token=secret", "auth": {"client_secret": "secret"}}
    settings = SourceSettings("emr", "fhir.rest", "CLINIC", "MR", {"do_not_contact": {"from": "x"}}, {}, options)
    rows = dict(described(Feed("emr", "clinic", settings, Schedule(every=timedelta(minutes=15)))))
    assert rows == {
        "Source": "emr",
        "Adapter": "fhir.rest",
        "Address": "https://ehr.example:8443/r4",
        "Patients known by": "CLINIC MR",
        "Read": "every 15m",
        "Masters": "do not contact",
    }
