"""Changes that wait for a person, over HTTP: in the readiness, in the list of runs, and their decisions."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from store import times
from store.domain.ids import parsed
from store.domain.patient import PatientRef
from store.holds.configuration_change import Proposal
from store.holds.held_changes import HeldChange, HeldChanges, HeldChangeState
from store.holds.held_runs import HeldRuns
from tests.store.web.conftest import ENTERPRISES, NOW, Service

WHAT = ("yes->no", "no", "ZCP-2")
SYNC_OFF = replace(ENTERPRISES["general"], syncs=False)


def held(service: Service) -> str:
    """A live feed's run that would lift MRN2's Do Not Contact."""
    patient, database = parsed(service.store.find("general", PatientRef(value="MRN2")).id) or 0, service.store.database
    with database.write("general") as transaction:
        run = HeldRuns(database).live_run(transaction, "genhosp-adt", "general", now=NOW)
        key = (patient, "emr:genhosp-adt", "do_not_contact", "general", "genhosp-adt", run)
        HeldChanges(database).put(transaction, [HeldChange(*key, HeldChangeState.HELD, False, *WHAT, times.at(NOW), 0, "M77", NOW)])
    return run


def held_configuration(service: Service) -> str:
    """Switches sync off under a safeguard with limit 0; gives the run."""
    database = service.store.database
    Proposal(database, ENTERPRISES["general"]).propose(lambda synced, patients: True, NOW)
    found = Proposal(database, SYNC_OFF).propose(lambda synced, patients: patients < 1, NOW)
    assert found is not None
    return found.run_id


def test_a_waiting_set_makes_the_service_degraded_but_available(fresh: Service) -> None:
    run = held(fresh)
    ready = fresh.call("GET", "/readyz", role="operator")
    assert (ready.status, ready.json["ready"], ready.json["degraded"]) == (200, True, True)
    (one,) = ready.json["held"]
    assert datetime.fromisoformat(one.pop("since")) == NOW
    assert one == {"enterprise": "general", "source": "genhosp-adt", "run": run, "kind": "live", "patients": 1}


def test_a_decided_set_is_no_longer_waiting(fresh: Service) -> None:
    run = held(fresh)
    (listed,) = fresh.call("GET", "/v1/runs", role="operator").json
    assert (listed["run"], listed["waiting"]["patients"]) == (run, 1)
    assert fresh.call("GET", f"/v1/runs/{run}", role="operator").json["waiting"] == listed["waiting"]
    decided = fresh.call("POST", f"/v1/runs/{run}/reject", role="operator").json
    assert (decided["status"], decided["waiting"], decided["held"]["verdicts"][0]["verdict"]) == ("done", None, "rejected")
    ready = fresh.call("GET", "/readyz", role="operator").json
    assert (ready["degraded"], ready["held"]) == (False, [])


def test_a_held_configuration_is_listed_and_approved_like_a_set(fresh: Service) -> None:
    run = held_configuration(fresh)
    (one,) = fresh.call("GET", "/readyz", role="operator").json["held"]
    assert (one["kind"], one["source"], one["run"], one["patients"]) == ("configuration", "(configuration)", run, 1)
    shown = fresh.call("GET", f"/v1/runs/{run}", role="operator").json
    assert shown["held"]["counts"] == [{"attribute": "do_not_contact", "direction": "yes->unknown", "patients": 1}]
    assert fresh.call("GET", f"/v1/runs/{run}", role="operator", enterprise="local").status == 404
    refused = fresh.call("POST", f"/v1/runs/{run}/reject", role="operator")
    assert refused.status == 422
    assert "restore the file" in refused.json["detail"]
    approved = fresh.call("POST", f"/v1/runs/{run}/approve", role="operator")
    assert (approved.status, approved.json["status"], approved.json["held"]["verdicts"][0]["actor"]) == (
        200,
        "done",
        "operator:operator of general",
    )
    assert fresh.call("GET", "/readyz", role="operator").json["degraded"] is False


@pytest.mark.parametrize("word", ["approve", "reject"])
def test_sets_of_another_enterprise_cannot_be_decided(fresh: Service, word: str) -> None:
    run = held_configuration(fresh)
    assert fresh.call("POST", f"/v1/runs/{run}/{word}", role="operator", enterprise="local").status == 404
    assert [one["run"] for one in fresh.call("GET", "/readyz", role="operator").json["held"]] == [run]


def test_settings_that_permit_too_much_are_answered_as_held_and_approved_by_another_key(fresh: Service) -> None:
    put = fresh.call("PUT", "/v1/settings", {"when_preferred_impossible": "next", "when_stale": "refuse"}, role="enterprise").json
    assert (put["when_preferred_impossible"], put["when_stale"]) == ("refuse", "refuse")
    run = put["held"]["run"]
    assert (put["held"]["changes"], put["held"]["patients"]) == ({"when_preferred_impossible": "next"}, 2)
    (one,) = fresh.call("GET", "/readyz", role="operator").json["held"]
    assert (one["kind"], one["source"], one["run"], one["patients"]) == ("settings", "(settings)", run, 2)
    assert fresh.call("POST", f"/v1/runs/{run}/approve", role="enterprise").status == 403
    approved = fresh.call("POST", f"/v1/runs/{run}/approve", role="operator").json
    assert (approved["status"], approved["held"]["verdicts"][0]["verdict"]) == ("done", "approved")
    found = fresh.call("GET", "/v1/settings", role="enterprise").json
    assert (found["when_preferred_impossible"], found["held"]) == ("next", None)
