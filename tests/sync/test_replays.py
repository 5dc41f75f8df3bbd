"""A selection of rejections over HTTP on the running service: previewed, replayed, and subject to the safeguard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from adapters.base import Payload
from store.domain.patient import PatientRef
from sync.config import Settings, load
from sync.runtime import Runtime, adapter, lane
from sync.service import Service, serving
from tests.sync.clinic import CONFIG, KEYS, adt

GUARDED = CONFIG.replace("    default_region: US\n", "    default_region: US\n    safeguard: {floor: 1, percent: 0}\n")
FIXED = GUARDED.replace("OK: no}", "OK: no, MAYBE: no, NEVER: yes}")
PATIENTS = ("MRN1", "MRN2", "MRN3")


def settings(folder: Path, url: str, text: str) -> Settings:
    file = folder / "config.yaml"
    file.write_text(f"database: {url}\n{KEYS}api: {{listen: '127.0.0.1:0'}}\n{text}")
    return load(file, {})


@pytest.fixture
def service(tmp_path: Path, database_url: str) -> Iterator[Service]:
    """Three patients refused, then sent an unreadable code; the mapping is now fixed. The fourth permitted contact, then sent NEVER."""
    runtime = Runtime.open(settings(tmp_path, database_url, GUARDED))
    feed = runtime.feed("adt")
    texts = [adt(mrn, control=f"{mrn}-1") for mrn in PATIENTS] + [adt("MRN4", dnc="OK", control="MRN4-1")]
    later = [adt(mrn, dnc="MAYBE", control=f"{mrn}-2") for mrn in PATIENTS] + [adt("MRN4", dnc="NEVER", control="MRN4-2")]
    for text in (*texts, *(one.replace("20261101083000", "20261101093000") for one in later)):
        runtime.engine.ingest(lane(feed), adapter(feed).mapper, [Payload(text.encode(), "test:1", runtime.clock())])
    runtime.close()
    with serving(settings(tmp_path, database_url, FIXED), ["api"]) as running:
        yield running


def receive(service: Service, text: str) -> None:
    feed = service.runtime.feed("adt")
    service.runtime.engine.ingest(lane(feed), adapter(feed).mapper, [Payload(text.encode(), "test:1", service.runtime.clock())])


def post(service: Service, path: str, body: Any) -> tuple[int, Any]:
    assert service.address is not None
    key = service.runtime.keys.create("kim", "clinic", "operator", service.runtime.clock())[1]
    connection = HTTPConnection(*service.address, timeout=30)
    connection.request("POST", path, json.dumps(body), {"Authorization": f"Bearer {key}"})
    answer = connection.getresponse()
    found = json.loads(answer.read())
    connection.close()
    return answer.status, found


def dnc(service: Service) -> list[str]:
    find = service.runtime.preferences.find
    return [find("clinic", PatientRef(value=mrn)).contact.do_not_contact for mrn in (*PATIENTS, "MRN4")]


def test_a_preview_shows_changes_by_direction_and_applies_nothing(service: Service) -> None:
    status, found = post(service, "/v1/rejections/replay/preview", {"source": "adt"})
    assert (status, found["flips"], found["left"]) == (200, {"more_contactable": 3, "less_contactable": 1}, 0)
    assert {(one["attribute"], one["direction"]) for one in found["changes"]} == {
        ("do_not_contact", "more_contactable"),
        ("do_not_contact", "less_contactable"),
    }
    assert set(found["changes"][0]) == {"patient", "attribute", "direction"}
    assert dnc(service) == ["yes", "yes", "yes", "no"]


def test_a_replay_applies_opt_outs_at_once_and_permits_within_the_hourly_limit(service: Service) -> None:
    status, done = post(service, "/v1/rejections/replay", {"source": "adt", "reason": "code_unmapped"})
    assert (status, done["replayed"], done["left"]) == (200, 4, 0)
    assert sorted(one["outcome"] for one in done["rejections"]) == ["applied", "applied", "held", "held"]
    values = dnc(service)
    assert (values[3], sorted(values[:3])) == ("yes", ["no", "yes", "yes"])
    assert service.runtime.journal.rejections("clinic", "adt") == []
    lines = service.runtime.verdicts.audit.newest("clinic")
    assert [one.line.actor for one in lines if one.line.action == "replayed_rejection"] == ["operator:kim"] * 4


def test_a_selection_by_ids_replays_only_those_rejections(service: Service) -> None:
    chosen = [one.id for one in service.runtime.journal.rejections("clinic", "adt")][:2]
    _, done = post(service, "/v1/rejections/replay", {"ids": chosen})
    assert (done["replayed"], [one["id"] for one in done["rejections"]]) == (2, chosen)
    assert len(service.runtime.journal.rejections("clinic", "adt")) == 2


def test_an_erased_payload_does_not_stop_the_other_replays(service: Service) -> None:
    first = service.runtime.journal.rejections("clinic", "adt")[0]
    with service.runtime.database.write("clinic") as transaction:
        transaction.exec_driver_sql(f"UPDATE rejections SET key_id = NULL WHERE id = '{first.id}'")
    _, done = post(service, "/v1/rejections/replay", {"source": "adt"})
    assert (done["replayed"], done["resolved"]) == (4, 3)
    assert [one["reason"] for one in done["rejections"] if one["id"] == first.id] == ["payload_unreadable"]


def test_replaying_an_unconfigured_source_is_refused(service: Service) -> None:
    chosen = [service.runtime.journal.rejections("clinic", "adt")[0].id]
    service.runtime.settings.feeds.pop("adt")  # type: ignore[attr-defined]
    for path in ("/v1/rejections/replay", "/v1/rejections/replay/preview"):
        status, problem = post(service, path, {"ids": chosen})
        assert (status, "unknown source" in problem["detail"]) == (422, True)


def test_a_preview_says_how_many_stay_open_because_a_part_still_cannot_be_read(service: Service) -> None:
    receive(service, adt("MRN5", dnc="HUH", control="MRN5-1"))
    _, found = post(service, "/v1/rejections/replay/preview", {"source": "adt"})
    assert (found["counts"]["applied"] + found["counts"]["unchanged"], found["resolved"], found["open"]) == (5, 4, 1)
    _, done = post(service, "/v1/rejections/replay", {"source": "adt"})
    assert (done["replayed"], done["resolved"]) == (5, 4)


def test_a_preview_counts_what_cannot_be_decrypted_by_its_state(service: Service) -> None:
    first = service.runtime.journal.rejections("clinic", "adt")[0]
    with service.runtime.database.write("clinic") as transaction:
        transaction.exec_driver_sql(f"UPDATE rejections SET key_id = NULL WHERE id = '{first.id}'")
    _, found = post(service, "/v1/rejections/replay/preview", {"source": "adt"})
    assert (found["resolved"], found["open"]) == (3, 1)


def test_a_preview_of_nothing_resolves_nothing(service: Service) -> None:
    _, found = post(service, "/v1/rejections/replay/preview", {"ids": []})
    assert (found["resolved"], found["open"]) == (0, 0)


def test_a_replay_is_not_a_receipt_whether_the_rejection_stays_open_or_not(service: Service) -> None:
    receive(service, adt("MRN5", dnc="HUH", control="MRN5-1"))

    def receipts() -> dict[str, tuple[Any, ...]]:
        found = service.runtime.journal.rejection_store.rejections("clinic", "adt", None)
        return {one.id: (one.times, one.first_at, one.last_at) for one in found}

    before = receipts()
    _, done = post(service, "/v1/rejections/replay", {"source": "adt"})
    assert (done["replayed"], done["resolved"]) == (5, 4)
    assert receipts() == before


def test_what_a_replay_rejects_for_another_reason_keeps_the_receipts_of_its_message(service: Service) -> None:
    text = adt("MRN5", dnc="OK", control="MRN5-1").replace("PID|", "PDI|")
    receive(service, text)
    receive(service, text)
    (before,) = [one for one in service.runtime.journal.rejections("clinic", "adt") if one.reason != "code_unmapped"]
    with service.runtime.database.write("clinic") as transaction:
        transaction.exec_driver_sql(f"UPDATE rejections SET reason = 'segment_missing', digest = 'before' WHERE id = '{before.id}'")
    post(service, "/v1/rejections/replay", {"ids": [before.id]})
    (after,) = [one for one in service.runtime.journal.rejections("clinic", "adt") if one.reason != "code_unmapped"]
    assert (after.times, after.first_at, after.last_at) == (2, before.first_at, before.last_at)
