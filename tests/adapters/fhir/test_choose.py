"""Several Consents of one patient: the latest counts, or the most restrictive, as the site says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.base import Fetch, Filtered, Item, Payload
from adapters.fhir.mapping import FhirMapper
from store.preference import PatientStatements
from tests.adapters.fhir.made import RECEIVED, ReadRest, read, settings
from tests.adapters.fhir.server import Answer, Scripted, capability, found, serving

CONSENT = {"attribute": "consent.sms"}
STRICT = CONSENT | {"choose": "most_restrictive"}


def consent(name: str, decision: str, status: str = "active", patient: Any = None) -> dict[str, Any]:
    return {
        "resourceType": "Consent",
        "id": name,
        "status": status,
        "patient": patient or {"reference": "Patient/p1"},
        "provision": {"type": decision},
    }


def answered(options: dict[str, Any], *changed: dict[str, Any], others: tuple[dict[str, Any], ...] = ()) -> tuple[list[Item], list[str]]:
    """The Consents that changed, from a server that has ``others`` of the same patient too; and what it was asked."""

    def script(server: Scripted, place: str) -> Answer:
        if place.startswith("Consent"):
            return found(*changed, *others) if "patient=p1" in place else found(*changed)
        return found() if place.startswith("Patient") else capability()

    with serving(script) as server:
        reader = ReadRest(settings(options={"base_url": server.base_url, "consent": options}))
        batches = list(reader.fetch(Fetch()))
        return list(batches[-1].items), server.asked


def values(items: list[Item]) -> list[Any]:
    return [
        item.statements["consent.sms"].value if isinstance(item, PatientStatements) else getattr(item, "reason", item) for item in items
    ]


def test_the_latest_is_taken_as_it_comes() -> None:
    items, asked = answered(CONSENT, consent("b", "permit"), others=(consent("a", "deny"),))
    assert values(items) == ["granted"]
    assert not [place for place in asked if "patient=" in place]


@pytest.mark.parametrize(("other", "value"), [(consent("a", "deny"), "still_refused"), (consent("a", "permit"), "granted")])
def test_where_the_most_restrictive_counts_a_permission_waits_for_the_others(other: dict[str, Any], value: str) -> None:
    assert values(answered(STRICT, consent("b", "permit"), others=(other,))[0]) == [value]


def test_a_refusal_needs_nobody_else() -> None:
    items, asked = answered(STRICT, consent("b", "deny"), others=(consent("a", "permit"),))
    assert values(items) == ["denied"]
    assert not [place for place in asked if "patient=" in place]


@pytest.mark.parametrize("options", [CONSENT, STRICT])
@pytest.mark.parametrize("other", [consent("a", "deny"), consent("a", "permit")])
def test_an_end_needs_nobody_else_as_it_takes_back_only_what_the_same_record_stated(options: dict[str, Any], other: dict[str, Any]) -> None:
    items, asked = answered(options, consent("b", "deny", "inactive"), others=(other,))
    assert values(items) == [None]
    assert not [place for place in asked if "patient=" in place]


def test_a_patient_who_cannot_be_asked_for_is_only_refused() -> None:
    somebody = {"identifier": {"system": "https://hospital.example/mrn", "value": "M1"}}
    assert values(answered(STRICT, consent("b", "permit", patient=somebody))[0]) == ["not_confirmed"]
    assert values(answered(STRICT, consent("b", "deny", patient=somebody))[0]) == ["denied"]


def test_a_file_has_nobody_to_ask_so_it_only_refuses() -> None:
    (item,) = read(consent("b", "permit"), options={"consent": STRICT})
    assert item == Filtered("not_confirmed", "file:1")
    (item,) = read(consent("b", "deny"), options={"consent": STRICT})
    assert values([item]) == ["denied"]
    (item,) = read(consent("b", "deny", "inactive"), options={"consent": STRICT})
    assert values([item]) == [None]


def test_a_rejected_payload_that_is_replayed_permits_nothing_either() -> None:
    mapper = FhirMapper(settings(options={"consent": STRICT}))
    payload = Payload(json.dumps(consent("b", "permit")).encode(), "Consent/page-1#0", RECEIVED)
    assert [type(item) for item in mapper.read(payload)] == [Filtered]
    assert values(mapper.read_unconfirmed(payload)) == ["granted"]


SOMEBODY_ELSE = {"reference": "Patient/p2"}


@pytest.mark.parametrize(("changed", "value"), [(consent("b", "permit"), "granted"), (consent("b", "deny", "inactive"), None)])
@pytest.mark.parametrize("other", [consent("a", "deny", patient=SOMEBODY_ELSE), consent("a", "unheard-of", patient=SOMEBODY_ELSE)])
def test_what_another_patient_refuses_in_the_answer_is_not_this_ones(changed: dict[str, Any], other: dict[str, Any], value: Any) -> None:
    """A server may answer with more than it was asked for: a family member's Consent in the same compartment."""
    assert values(answered(STRICT, changed, others=(other,))[0]) == [value]


def test_this_patients_refusal_counts_beside_that_of_another() -> None:
    changed = consent("b", "permit")
    both = (consent("a", "permit", patient=SOMEBODY_ELSE), consent("c", "deny"))
    assert values(answered(STRICT, changed, others=both)[0]) == ["still_refused"]
    assert values(answered(STRICT, changed, others=both[::-1])[0]) == ["still_refused"]


def test_what_cannot_be_read_of_this_patient_may_refuse() -> None:
    assert values(answered(STRICT, consent("b", "permit"), others=(consent("a", "unheard-of"),))[0]) == ["still_refused"]
