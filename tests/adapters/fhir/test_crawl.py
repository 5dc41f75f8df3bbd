"""Servers that do not let Patients be searched: the members of a group are read one by one."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from adapters.base import AdapterError, Fetch, Filtered, Unmappable
from adapters.fhir.rest import RestAdapter
from store.preference import PatientStatements
from tests.adapters.fhir.made import ReadRest, patient, settings
from tests.adapters.fhir.server import Answer, Script, Scripted, found, serving

MEMBERS = [f"p{number}" for number in range(250)]


def epic(members: list[str], gone: frozenset[str] = frozenset()) -> Script:
    """Reads only, and a group."""

    def script(server: Scripted, place: str) -> Answer:
        kind, _, name = place.partition("/")
        if place == "metadata":
            resource = {"type": "Patient", "interaction": [{"code": "read"}]}
            found: Any = {
                "resourceType": "CapabilityStatement",
                "fhirVersion": "4.0.1",
                "rest": [{"mode": "server", "resource": [resource]}],
            }
        elif kind == "Group" and members:
            entities = [{"entity": {"reference": f"Patient/{one}"}} for one in members]
            found = {"resourceType": "Group", "id": name, "member": [*entities, {"entity": {"reference": "Device/d1"}}]}
        elif kind == "Patient" and name not in gone:
            found = patient(id=name)
        else:
            return 404, {}, b""
        return 200, {}, json.dumps(found).encode()

    return script


def adapter(server: Scripted, **options: Any) -> RestAdapter:
    return ReadRest(settings(options={"base_url": server.base_url, "group": "reminders", **options}), sleep=lambda _: None)


def test_a_server_without_search_is_crawled() -> None:
    with serving(epic(MEMBERS)) as server:
        batches = list(adapter(server).fetch(Fetch()))
    assert sum(len(batch.items) for batch in batches) == 250
    assert {batch.total for batch in batches} == {250}
    assert not any("?" in asked for asked in server.asked), "nothing was searched"


def test_a_crawl_goes_on_where_it_was_killed() -> None:
    with serving(epic(MEMBERS)) as server:
        cursor = next(batch.cursor for batch in adapter(server).fetch(Fetch()) if batch.cursor)
        rest = [item for batch in adapter(server).fetch(Fetch(cursor=cursor)) for item in batch.items]
    assert {item.evidence_id.split("/")[1] for item in rest} == set(MEMBERS[100:])


def test_a_crawl_of_another_list_begins_at_its_beginning() -> None:
    with serving(epic(MEMBERS)) as server:
        cursor = next(batch.cursor for batch in adapter(server).fetch(Fetch()) if batch.cursor)
    with serving(epic(MEMBERS[50:])) as server:
        assert sum(len(batch.items) for batch in adapter(server).fetch(Fetch(cursor=cursor))) == 200


def test_after_a_whole_crawl_the_next_begins_anew() -> None:
    with serving(epic(MEMBERS[:3])) as server:
        *_, last = adapter(server).fetch(Fetch())
        assert sum(len(batch.items) for batch in adapter(server).fetch(Fetch(cursor=last.cursor))) == 3


def test_somebody_who_is_not_there_any_more_says_nothing() -> None:
    with serving(epic(MEMBERS[:3], gone=frozenset({"p1"}))) as server:
        items = [item for batch in adapter(server).fetch(Fetch()) for item in batch.items]
    assert [item.reason for item in items if isinstance(item, Filtered)] == ["patient_not_there"]
    assert len(items) == 3


CONSENT = {
    "resourceType": "Consent",
    "status": "active",
    "decision": "deny",
    "category": [{"coding": [{"system": "https://x", "code": "sms"}]}],
}


@pytest.mark.parametrize(
    "answer", [(403, {}, b""), (500, {}, b""), (200, {}, b"<html>"), found(total=3)], ids=["403", "500", "page", "short"]
)
def test_one_whose_consents_cannot_be_read_is_left_out_in_that_and_stops_nobody(answer: Answer) -> None:
    def script(server: Scripted, place: str) -> Answer:
        if place.startswith("Consent"):
            name = place.partition("patient=")[2]
            return answer if name == "p1" else found(CONSENT | {"id": f"c-{name}", "patient": {"reference": f"Patient/{name}"}})
        return epic(MEMBERS[:3])(server, place)

    rule = {"consent.sms": {"from": "Consent.decision", "values": {"deny": "denied"}}}
    with serving(script) as server:
        own = {"base_url": server.base_url, "group": "reminders", "consent": {"category": ["https://x|sms"]}}
        (batch,) = ReadRest(settings(options=own, mapping=rule), sleep=lambda _: None).fetch(Fetch())
    stated = [item.evidence_id.partition("/_")[0] for item in batch.items if isinstance(item, PatientStatements)]
    assert sorted(stated) == ["Consent/c-p0", "Consent/c-p2", "Patient/p0", "Patient/p1", "Patient/p2"]
    assert [(item.reason, item.locator) for item in batch.items if isinstance(item, Unmappable)] == [
        ("patient_not_read", "Patient/member-2")
    ]
    assert "1 of 3 group members" in batch.note
    with pytest.raises(ValueError, match="Invalid isoformat"):
        datetime.fromisoformat(batch.cursor or "")


@pytest.mark.parametrize(
    ("failing", "status", "headers"),
    [(3, 401, {}), (3, 429, {}), (1, 503, {"Retry-After": "7200"}), (10, 403, {}), (10, 500, {})],
    ids=["401", "429", "asked to wait", "ten forbidden", "ten errors"],
)
def test_what_the_next_member_would_meet_too_fails_the_run(failing: int, status: int, headers: dict[str, str]) -> None:
    def script(server: Scripted, place: str) -> Answer:
        name = place.partition("/")[2]
        refused = place.startswith("Patient/") and 5 <= MEMBERS.index(name) < 5 + failing
        return (status, headers, b"") if refused else epic(MEMBERS)(server, place)

    with serving(script) as server, pytest.raises(AdapterError, match=str(status)):
        list(adapter(server).fetch(Fetch()))


def test_a_group_that_is_not_shown_needs_a_person() -> None:
    with serving(epic([])) as server, pytest.raises(AdapterError, match="members of the group") as caught:
        list(adapter(server).fetch(Fetch()))
    assert caught.value.permanent


def test_check_names_the_plan() -> None:
    with serving(epic(MEMBERS)) as server:
        findings = {one.what: one.detail for one in adapter(server).check()}
    assert findings["plan"].startswith("crawl")
    assert findings["group"] == "the group lists 250 members"


def test_crawling_needs_a_group() -> None:
    with pytest.raises(ValueError, match="needs group"):
        RestAdapter(settings(options={"base_url": "https://ehr.example/r4", "read": "crawl"}))
