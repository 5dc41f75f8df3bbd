from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from store import times
from store.audit.audit_log import Audit
from store.audit.receipts import Receipts
from store.domain.lock import Actor, Role
from store.domain.message_class import MARKETING, MessageClass
from store.domain.patient import PatientRef
from store.preference import Phone
from tests.store.web.conftest import CELL, LINE, NOW, statements
from tests.store.web.pages.conftest import Pages

ALL = {"sms": "1", "voice": "1", "email": "1"}
OTHER_LINE = "+12175550191"


def told(html: str) -> str:
    """The text of the answer."""
    found = re.search(r'<div class="answered".*?</div>\s*<details', html, re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", found[0]).split()) if found else ""


def sender(pages: Pages, **body: Any) -> dict[str, Any]:
    """What the API answers a sender."""
    key = pages.keys.create("texting", "general", "sender", NOW)[1]
    body = {"patient": {"id": pages.patient("ASKED").removeprefix("/patients/")}, **body}
    found: dict[str, Any] = httpx.post(f"{pages.url}/v1/decisions", json=body, headers={"authorization": f"Bearer {key}"}).json()
    return found


@pytest.fixture
def asked(fresh_pages: Pages) -> Pages:
    """A patient with everything that an answer can depend on."""
    phones = (
        Phone(CELL, "cell", "", 1, True),
        Phone("+12175550177", "home", "", 2, False, None, (NOW + timedelta(days=2)).date().isoformat()),
    )
    stated = {
        "preferred_method": "sms",
        "phones": phones,
        "email": ("pat@example.test",),
        "topic.billing.sms": "denied",
        "consent.voice": "granted",
    }
    with fresh_pages.store.database.write("general") as transaction:
        fresh_pages.store.apply_many(transaction, "general", "genhosp-adt", [statements("ASKED", "A1", **stated)], now=NOW)
    fresh_pages.store.record_reply("general", LINE, CELL, "STOP", NOW, NOW)
    return fresh_pages


QUESTIONS: tuple[tuple[dict[str, str], dict[str, Any]], ...] = (
    ({"message_type": "automation"}, {"message_type": "automation"}),
    ({"message_type": "automation", "line": LINE}, {"message_type": "automation", "line": LINE}),
    ({"message_type": "automation", "line": OTHER_LINE}, {"message_type": "automation", "line": OTHER_LINE}),
    (
        {"message_type": "automation", "line": OTHER_LINE, "topic": "billing"},
        {"message_type": "automation", "line": OTHER_LINE, "topic": "billing"},
    ),
    ({"message_type": "broadcast", "line": LINE}, {"message_type": "broadcast", "line": LINE}),
    ({"message_type": "automation", "method": "email"}, {"message_type": "automation", "appointment": {"preferred_method": "email"}}),
    (
        {"message_type": "automation", "method": "voice", "phone": "+12175550166"},
        {"message_type": "automation", "appointment": {"preferred_method": "voice", "preferred_phone": "+12175550166"}},
    ),
    (
        {"message_type": "manual", "at": f"{NOW + timedelta(days=9):%Y-%m-%dT%H:%M}"},
        {"message_type": "manual", "at": f"{NOW + timedelta(days=9):%Y-%m-%dT%H:%M}:00Z"},
    ),
)


@pytest.mark.parametrize(("form", "body"), QUESTIONS)
def test_the_facesheet_gives_the_answer_that_a_sender_gets(asked: Pages, form: dict[str, str], body: dict[str, Any]) -> None:
    seen = asked.signed_in("staff").post(f"{asked.patient('ASKED')}/decision", **ALL, **form)
    expected, text = sender(asked, channels=["sms", "voice", "email"], **body), told(seen.response.text)
    assert seen.status == 200
    codes = re.findall(
        r'<code class="quiet">(\w+)</code>', seen.response.text.partition('class="answered"')[2].partition("<h4>Evidence")[0]
    )
    skipped = [one["reason"] for one in expected["skipped"]]
    assert codes == [*(one for one in expected["reasons"] if one not in skipped), *skipped]
    answer = "Do not send" if expected["channel"] is None else {"sms": "text", "voice": "call", "email": "e-mail"}[expected["channel"]]
    assert f"This message: {'Send by ' if expected['channel'] else ''}{answer}" in text
    assert text.count("General Hospital EMR") + text.count("the patient,") == len(expected["evidence"])
    assert re.search(r"Decision dec_[0-9a-f]{27}", text)


@pytest.mark.parametrize(("category", "reasons"), [("marketing", ["sms_opted_out"]), ("informational", []), ("", ["sms_opted_out"])])
def test_the_category_of_a_message_decides_whether_a_stop_to_marketing_counts(asked: Pages, category: str, reasons: list[str]) -> None:
    answered = MessageClass("campaign", None, MARKETING)
    asked.store.record_reply("general", OTHER_LINE, CELL, "STOP", NOW, NOW, answered)
    body = {"message_type": "campaign", "line": "+12175550192"}
    seen = asked.signed_in("staff").post(f"{asked.patient('ASKED')}/decision", **body, sms="1", category=category)
    expected = sender(asked, channels=["sms"], **body, **({"category": category} if category else {}))
    assert expected["reasons"][:1] == reasons
    assert f"This message: {'Do not send' if reasons else 'Send by text'}" in told(seen.response.text)
    assert f"<option{' selected' if category == 'marketing' else ''}>marketing</option>" in seen.response.text


def test_a_question_is_in_the_audit_log_and_leaves_no_receipt(asked: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    general = asked.store.enterprises["general"]
    keeping = replace(general, policy=replace(general.policy, decision_receipts=True))
    monkeypatch.setitem(asked.store.enterprises, "general", keeping)  # type: ignore[arg-type]
    seen = asked.signed_in("manager").post(f"{asked.patient('ASKED')}/decision", **ALL, message_type="broadcast", line=LINE, phone=CELL)
    viewed, question = (link.line for link in Audit(asked.store.database).newest("general", limit=2))
    assert (viewed.action, question.action, question.actor) == ("viewed_patient", "asked_for_decision", "manager:manager-general")
    detail = json.loads(question.detail)
    assert detail["decision"] in told(seen.response.text)
    assert detail == {"decision": detail["decision"], "answer": "send", "message_type": "broadcast", "channels": ["sms", "voice", "email"]}
    assert Receipts(asked.store.database).newest("general") == []
    audit = asked.signed_in("auditor").get("/audit").text
    assert f"asked for decision {asked.patient('ASKED').removeprefix('/patients/')} facesheet {detail['decision']}" in audit
    assert sender(asked, message_type="broadcast", channels=["sms"])["id"]
    assert len(Receipts(asked.store.database).newest("general")) == 1, "a sender's request leaves one"


BAD: tuple[tuple[dict[str, str], str], ...] = (
    ({"message_type": "automation"}, "Select at least one channel."),
    ({**ALL, "message_type": "letter"}, "Invalid enum value"),
    ({**ALL}, "Invalid enum value"),
    ({**ALL, "message_type": "manual", "line": "our line"}, "line must be a phone number"),
    ({**ALL, "message_type": "manual", "line": "x" * 60}, "Expected `str` of length"),
    ({**ALL, "message_type": "manual", "topic": "x" * 300}, "Expected `str` of length"),
    ({**ALL, "message_type": "manual", "phone": "call me"}, "phone is not a valid phone number"),
    ({**ALL, "message_type": "manual", "method": "pigeon"}, "Invalid enum value"),
    ({**ALL, "message_type": "manual", "at": "tomorrow"}, "The time of sending is not a valid time"),
    ({**ALL, "message_type": "manual", "at": "275760-09-13T00:00"}, "The time of sending is not a valid time"),
    ({**ALL, "message_type": "manual", "at": "0001-01-01T00:00+14:00"}, ""),
)


@pytest.mark.parametrize(("form", "message"), BAD)
def test_a_wrong_question_is_refused_on_the_page_and_kept_in_the_form(pages: Pages, form: dict[str, str], message: str) -> None:
    before = len(Audit(pages.store.database).newest("general", limit=1000))
    seen = pages.signed_in("staff").post(f"{pages.patient()}/decision", **form)
    assert seen.status == 422
    assert message in seen.text
    assert 'role="alert"' in seen.response.text
    assert told(seen.response.text) == ""
    assert all(value in seen.response.text for name, value in form.items() if name in ("line", "topic", "phone", "at"))
    actions = [link.line.action for link in Audit(pages.store.database).newest("general", limit=1000)]
    assert "asked_for_decision" not in actions[: len(actions) - before]


def test_a_question_about_a_patient_of_another_enterprise_finds_nobody(pages: Pages) -> None:
    where = pages.patient(enterprise="general")
    seen = pages.signed_in("staff", "local").post(f"{where}/decision", **ALL, message_type="manual")
    assert seen.status == 404
    (line,) = Audit(pages.store.database).newest("local", limit=1)
    assert line.line.action == "looked_in_vain"


def test_a_time_without_an_offset_is_in_the_enterprises_time_zone(fresh_pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    chicago = replace(fresh_pages.store.enterprises["general"], time_zone="America/Chicago")
    monkeypatch.setitem(fresh_pages.store.enterprises, "general", chicago)  # type: ignore[arg-type]
    seen = fresh_pages.signed_in("staff").post(f"{fresh_pages.patient()}/decision", **ALL, message_type="manual", at="2031-07-01T09:30")
    assert "Time of sending 2031-07-01 09:30 CDT" in told(seen.response.text)


def test_a_merged_patients_question_is_about_the_survivor(fresh_pages: Pages) -> None:
    from store.preference import Identifier, PatientMerge

    old, new = fresh_pages.patient("MRN2"), fresh_pages.patient("MRN1")
    merge = PatientMerge((Identifier("GENHOSP", "MR", "MRN1"),), (Identifier("GENHOSP", "MR", "MRN2"),), times.at(NOW), "A40-7")
    with fresh_pages.store.database.write("general") as transaction:
        fresh_pages.store.apply_many(transaction, "general", "genhosp-adt", [merge], now=NOW)
    fresh_pages.store.record_sms_opt_out("general", new.removeprefix("/patients/"), line=None, actor=Actor(Role.STAFF, "desk"), now=NOW)
    seen = fresh_pages.signed_in("staff").post(f"{old}/decision", sms="1", message_type="broadcast")
    assert "This message: Do not send" in told(seen.response.text)
    assert fresh_pages.store.find("general", PatientRef(id=old.removeprefix("/patients/"))).id == new.removeprefix("/patients/")
