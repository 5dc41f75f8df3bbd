"""Held changes over HTTP: only operators of the enterprise can see, approve and reject them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from store import times
from store.holds.gate import HoldAll
from tests.store.web.conftest import NOW, Service, statements


@pytest.fixture
def held(fresh: Service) -> str:
    """A held run of the enterprise ``general`` that would permit contact with one patient; its id."""
    run = fresh.journal.start("genhosp-adt", "general", "full", now=NOW)
    item = replace(statements("MRN2", "M9", do_not_contact="no"), effective=times.at(NOW))
    with fresh.store.database.write("general") as transaction:
        fresh.store.apply_many(transaction, "general", "genhosp-adt", [item], now=NOW, run_id=run.id, guard=HoldAll(run.id))
    fresh.journal.finish(run, "held", None, NOW)
    return run.id


def dnc(service: Service) -> str:
    return str(service.patient("MRN2")["preferences"]["do_not_contact"]["value"])


def test_a_held_run_shows_what_it_would_permit_without_names(fresh: Service, held: str) -> None:
    found = fresh.call("GET", f"/v1/runs/{held}", role="operator").json
    assert (found["status"], found["held"]["patients"]) == ("held", 1)
    assert found["held"]["counts"] == [{"attribute": "do_not_contact", "direction": "yes->no", "patients": 1}]
    assert "MRN2" not in str(found)
    assert dnc(fresh) == "yes"


def test_an_operator_approves_and_is_recorded(fresh: Service, held: str) -> None:
    reply = fresh.call("POST", f"/v1/runs/{held}/approve", role="operator")
    assert (reply.status, reply.json["status"], reply.json["held"]["patients"]) == (200, "done", 0)
    assert [(one["verdict"], one["actor"]) for one in reply.json["held"]["verdicts"]] == [("approved", "operator:operator of general")]
    assert dnc(fresh) == "no"
    logged = fresh.call("GET", "/v1/audit", role="auditor").json
    assert ("approved_held_changes", held) in [(line["action"], line["subject"]) for line in logged]


def test_an_operator_rejects_and_the_current_values_stay(fresh: Service, held: str) -> None:
    reply = fresh.call("POST", f"/v1/runs/{held}/reject", role="operator")
    assert (reply.status, reply.json["status"]) == (200, "done")
    assert dnc(fresh) == "yes"
    again = fresh.call("POST", f"/v1/runs/{held}/approve", role="operator")
    assert (again.status, again.json["type"]) == (409, "urn:emr-sync:problem:nothing-held")
    assert dnc(fresh) == "yes"


def test_another_enterprise_does_not_find_the_run(fresh: Service, held: str) -> None:
    for verdict in ("approve", "reject"):
        assert fresh.call("POST", f"/v1/runs/{held}/{verdict}", role="operator", enterprise="local").status == 404
    assert dnc(fresh) == "yes"
