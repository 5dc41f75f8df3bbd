from __future__ import annotations

import re
from datetime import timedelta

import pytest
from msgspec.structs import replace

from store.audit.audit_log import Audit
from store.audit.receipts import Receipts
from store.domain.contact import ContactPreferences
from store.domain.decision import Decision
from store.domain.decision_request import DecisionRequest, Evidence, KnownPatient, Skipped, identified
from store.preference import emr
from tests.store.web.conftest import ENTERPRISES, LINE, NOW
from tests.store.web.pages.conftest import Pages

ASK = DecisionRequest(message_type="automation", channels=("sms", "voice"), line=LINE, topic="billing", at=NOW + timedelta(hours=1))
REFUSED = Decision(
    "do_not_send",
    reasons=("topic_declined", "not_preferred"),
    skipped=(Skipped("sms", "topic_declined"), Skipped("voice", "not_preferred"), Skipped("email", "no_copy")),
    evidence=(Evidence("topic.billing.sms", "emr:genhosp-adt", "MSG7", "ZCP-9", NOW),),
    as_of=NOW,
    stale=True,
    patient_version=3,
)


UNANSWERED = Decision("do_not_send", reasons=("patient_unknown",))


def decided(pages: Pages, enterprise: str, patient: str | None = None, decision: Decision = REFUSED) -> str:
    """The id of a stored decision about a patient; ``""`` for nobody."""
    number = pages.patient(enterprise=enterprise).removeprefix("/patients/") if patient is None else patient
    source = emr(ENTERPRISES[enterprise].sources[0].name)
    (found,) = identified([replace(decision, evidence=tuple(replace(one, authority=source) for one in decision.evidence))], [None])
    known = KnownPatient(number, 1, ContactPreferences()) if number else None
    Receipts(pages.store.database).keep(enterprise, [ASK], [known], [found], ["sender:texting"], NOW)
    return found.id


def test_a_stored_decision_is_found_by_its_id_with_request_rule_and_evidence(pages: Pages) -> None:
    number, browser = decided(pages, "general"), pages.signed_in("staff")
    found = browser.post("/decisions", id=f" {number} ")
    assert (found.status, found.where) == (303, f"/decisions/{number}")
    seen = browser.get(found.where)
    assert seen.status == 200
    for words in (
        "requested by sender:texting",
        "Answer: Do not send",
        "Message automation Channels text, call Line +1 217-555-0190 Topic billing",
        "data is stale",
        f"Decision {number}",
        "No text: The patient declined the topic on this channel. topic_declined",
        "No e-mail: The message has no text for this channel. no_copy",
        "This type of message follows Do Not Contact, the preferred contact, the preferred phone, topics and consent.",
        "Billing by text: General Hospital EMR,",
        "MSG7 ZCP-9",
    ):
        assert words in seen.text, words
    assert f'href="{pages.patient()}"' in seen.response.text


def test_a_decision_about_an_unknown_patient_names_nobody(pages: Pages) -> None:
    text = pages.signed_in("auditor").get(f"/decisions/{decided(pages, 'general', '', UNANSWERED)}").text
    assert "The patient was not found." in text
    assert "No patient of this enterprise has the identifier." in text


@pytest.mark.parametrize(
    "wanted", ["", "MRN1", "dec_", "dec_zz", "pt_0000000000000000", "dec_" + "g" * 27, "dec_" + "0" * 28, "dec_\u0660" * 27]
)
def test_what_is_not_the_id_of_a_decision_is_not_put_into_a_url(pages: Pages, wanted: str) -> None:
    seen = pages.signed_in("staff").post("/decisions", id=wanted)
    assert seen.status == 422
    assert "It begins with dec_" in seen.text


def test_a_decision_that_is_not_stored_gets_the_reason_and_an_audit_line(pages: Pages) -> None:
    browser = pages.signed_in("manager")
    for wanted in ("dec_" + "0" * 27, "MRN1", decided(pages, "local")):
        seen = browser.get(f"/decisions/{wanted}")
        assert seen.status == 404
        assert "this enterprise does not store decisions (decision_receipts is off)" in seen.text
    (line,) = Audit(pages.store.database).newest("general", limit=1)
    assert (line.line.action, line.line.detail) == ("looked_in_vain", '{"why":"unknown decision"}')


def test_viewing_a_decision_is_in_the_audit_log(pages: Pages) -> None:
    number = decided(pages, "general")
    assert pages.signed_in("staff").get(f"/decisions/{number}").status == 200
    (line,) = Audit(pages.store.database).newest("general", limit=1)
    assert (line.line.action, line.line.actor) == ("viewed_receipts", "staff:staff-general")
    assert line.line.detail == f'{{"decision":"{number}"}}'
    assert pages.patient().endswith(line.line.subject)


def test_a_receipt_whose_content_was_changed_is_not_shown(fresh_pages: Pages) -> None:
    number = decided(fresh_pages, "general")
    with fresh_pages.store.database.write("test") as transaction:
        transaction.exec_driver_sql("UPDATE chain_links SET detail = '{}' WHERE chain = 'receipts'")
    assert fresh_pages.signed_in("auditor").get(f"/decisions/{number}").status == 404


def test_text_in_a_request_is_escaped(pages: Pages) -> None:
    (found,) = identified([REFUSED], [None])
    ask = DecisionRequest(message_type="broadcast", channels=("sms",), topic="<script>alert(1)</script>")
    Receipts(pages.store.database).keep("general", [ask], [None], [found], ["sender:x"], NOW)
    html = pages.signed_in("staff").get(f"/decisions/{found.id}").response.text
    assert "<script>alert" not in html
    assert re.search(r"&lt;script&gt;alert", html)
