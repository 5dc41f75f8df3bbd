"""A configuration error that would make 2,500 patients contactable: every sender keeps getting "do not send" until a person approves."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from store.db.database import Database
from store.domain.decision import KnownPatient, decide
from store.domain.decision_request import DecisionRequest
from store.domain.enterprise import Enterprise, Source
from store.domain.patient import PatientRef
from store.domain.policies import Policy
from store.patients.preferences import Preferences
from tests.factories import NOW
from tests.functional.program import emr_sync, ended, free_port, hospital, written

PATIENTS = 2_500  # several batches, and several parts of an approval
HELD = 3


def message(number: int) -> str:
    """A message of a patient who refuses contact. The EMR repeats it unchanged; only the mapping changes."""
    return (
        f"MSH|^~\\&|EHR|GH|SYNC|GH|20261101083000||ADT^A08|K{number}|P|2.5.1\r"
        f"EVN|A08|20261101083000\r"
        f"PID|1||K{number}^^^GENHOSP^MR||Invented^Person||19700101|F|||||(217)555-0123^PRN^CP\r"
        f"ZCP|1|DNC\r"
    )


@pytest.mark.timeout(300)
def test_every_decision_stays_do_not_send_until_a_person_approves(database_url: str, tmp_path: Path) -> None:
    feed = tmp_path / "everybody.hl7"
    feed.write_text("".join(message(number) for number in range(PATIENTS)), newline="")
    configuration = hospital(database_url, free_port())
    config = written(tmp_path, configuration)
    assert emr_sync(config, "ingest", "genhosp-adt", str(feed))["counts"]["applied"] == PATIENTS
    assert decisions(database_url) == {"do_not_send": PATIENTS}

    configuration["sources"]["genhosp-adt"]["mapping"]["do_not_contact"]["values"] = {"DNC": "no", "OK": "yes"}  # the mistake
    config = written(tmp_path, configuration)
    code, out, err = ended(config, "ingest", "genhosp-adt", str(feed), "--json")
    assert code == HELD, err[-2000:]
    report = json.loads(out)
    assert (report["status"], report["counts"]["held"]) == ("held", PATIENTS)
    assert decisions(database_url) == {"do_not_send": PATIENTS}

    shown = emr_sync(config, "runs", "show", report["run"])
    assert (shown["status"], shown["held"]["patients"]) == ("held", PATIENTS)
    assert shown["held"]["counts"] == [{"attribute": "do_not_contact", "direction": "yes->no", "patients": PATIENTS}]
    assert "555" not in json.dumps(shown["held"])
    assert "K1" not in json.dumps(shown["held"])

    approved = emr_sync(config, "runs", "approve", report["run"])
    assert (approved["status"], approved["held"]["verdicts"][0]["verdict"]) == ("done", "approved")
    assert approved["held"]["verdicts"][0]["actor"].startswith("cli:")
    assert decisions(database_url) == {"send": PATIENTS}


def decisions(url: str) -> Counter[str]:
    """The decisions on a reminder to every patient."""
    database = Database.open(url)
    enterprise = Enterprise("general-hospital", syncs=True, sources=(Source("genhosp-adt", "General Hospital EMR"),))
    refs = [PatientRef(authority="GENHOSP", value=f"K{number}") for number in range(PATIENTS)]
    known: list[Any] = Preferences(database, {enterprise.name: enterprise}).known(enterprise.name, refs, NOW)
    database.close()
    ask = DecisionRequest(message_type="automation", channels=("sms", "voice"))
    return Counter(decide(ask, one, Policy(), NOW).decision for one in known if isinstance(one, KnownPatient))
