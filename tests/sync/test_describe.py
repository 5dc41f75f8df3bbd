from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from adapters.base import SourceSettings
from adapters.fhir.notification import PushCredentials
from sync.config.settings import ConfiguredSource, ConfiguredWriteBack, Schedule
from sync.describe import described


def feed(adapter: str = "fhir.rest", schedule: Schedule | None = None, **options: Any) -> ConfiguredSource:
    rules = {
        "do_not_contact": {
            "from": "ZCP-2",
            "values": {"DNC": "yes", True: "no"},
            "on_absent": "no_statement",
            "on_unknown": "most_restrictive",
        },
        "language": {"from": ["PID-15", "ZCP-9"]},
        "preferred_phone": {"by": "rank"},
    }
    return ConfiguredSource("emr", "clinic", SourceSettings("emr", adapter, "CLINIC", "MR", rules, "epic", options), schedule)


def test_a_source_is_described_without_secrets() -> None:
    options = {
        "base_url": "https://user:secret@ehr.example:8443/r4?token=secret",
        "auth": {"kind": "smart_backend", "client_secret": "secret", "private_key": "secret"},
        "headers": {"x-api-key": "secret"},
        "password": "secret",
        "read": "full",
    }
    about = described(feed(schedule=Schedule(every=timedelta(minutes=15)), **options))
    assert dict(about.rows) == {
        "Source": "emr",
        "Adapter": "fhir.rest",
        "Preset": "epic",
        "Address": "https://ehr.example:8443/r4",
        "Read mode": "full",
        "Authentication": "smart backend",
        "Patient identifier": "CLINIC MR",
        "Schedule": "every 15m",
        "Time zone": "UTC",
    }
    assert "secret" not in repr(about)
    assert about.listens is False


def test_several_types_of_the_identifier_are_described_in_words() -> None:
    types = replace(feed().settings, identifier_type=("MR", "PI"))
    assert dict(described(replace(feed(), settings=types)).rows)["Patient identifier"] == "CLINIC MR or PI"


def test_the_mapping_is_described_rule_by_rule() -> None:
    first, second, third = described(feed()).mapping
    assert first == ("do_not_contact", "ZCP-2", (("DNC", "yes"), ("true", "no")), "absent: no statement, unknown code: most restrictive")
    assert second == ("language", "PID-15 | ZCP-9", (), "")
    assert third == ("preferred_phone", "the standard fields, by rank", (), "")


def test_a_source_with_push_and_write_back_is_described_as_such() -> None:
    plain = described(feed())
    assert (plain.is_pushed, plain.sink) == (False, "")
    back = ConfiguredWriteBack("fhir.patient", {}, timedelta(days=3), {"tls": "secret"})
    about = described(replace(feed(), push=PushCredentials(secrets=("secret",)), write_back=back))
    assert (about.is_pushed, about.sink) == (True, "fhir.patient")
    assert "secret" not in repr(about)


def test_a_listener_is_described_as_a_listener() -> None:
    about = described(feed("hl7v2.mllp", listen="127.0.0.1:2575"))
    assert about.listens is True
    assert dict(about.rows)["Listens on"] == "127.0.0.1:2575"
