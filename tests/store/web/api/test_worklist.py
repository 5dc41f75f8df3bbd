"""The EMR worklist over HTTP: what is to be typed in, the tick, and taking it back."""

from __future__ import annotations

import pytest

from store.domain.lock import Actor, Role
from store.domain.patient import PatientRef
from tests.store.web.conftest import NOW, Service

ENTERPRISE = "quiet"


def opted_out(fresh: Service) -> dict[str, str]:
    """Opts a patient out of texts; what names the opt-out."""
    store = fresh.store
    patient = store.find(ENTERPRISE, PatientRef(value="MRN1")).id
    store.record_sms_opt_out(ENTERPRISE, patient, line=None, topic=None, actor=Actor(Role.STAFF, "desk"), reason="asked", now=NOW)
    return {"patient": patient, "source": "practice", "attribute": "consent.sms"}


def test_an_opt_out_is_listed_ticked_and_put_back(fresh: Service) -> None:
    one = opted_out(fresh)
    calls = {"role": "staff", "enterprise": ENTERPRISE}
    (listed,) = fresh.call("GET", "/v1/worklist", **calls).json
    assert {name: listed[name] for name in one} == one
    assert (listed["ticked"], [name["value"] for name in listed["identifiers"]]) == (None, ["MRN1"])
    assert fresh.call("POST", "/v1/worklist/undo", one, **calls).json["code"] == "not_on_worklist"
    assert fresh.call("POST", "/v1/worklist/done", one, **calls).json == {"state": "done"}
    assert fresh.call("POST", "/v1/worklist/done", one, **calls).status == 409
    assert fresh.call("GET", "/v1/worklist", **calls).json == []
    (ticked,) = fresh.call("GET", "/v1/worklist?state=done", **calls).json
    assert ticked["ticked"] is not None
    assert fresh.call("POST", "/v1/worklist/undo", one, **calls).json == {"state": "waiting"}
    assert len(fresh.call("GET", "/v1/worklist", **calls).json) == 1
    actions = [entry["action"] for entry in fresh.call("GET", "/v1/audit", role="auditor", enterprise=ENTERPRISE).json]
    assert {"typed_opt_out_into_emr", "took_back_typed_opt_out", "viewed_worklist"} <= set(actions)


@pytest.mark.parametrize("changed", [{"patient": "pt_0"}, {"source": "other"}, {"attribute": "consent.voice"}])
def test_another_opt_out_is_not_on_the_list(fresh: Service, changed: dict[str, str]) -> None:
    one = opted_out(fresh)
    assert fresh.call("POST", "/v1/worklist/done", one | changed, role="staff", enterprise=ENTERPRISE).status == 409
    assert len(fresh.call("GET", "/v1/worklist", role="staff", enterprise=ENTERPRISE).json) == 1
