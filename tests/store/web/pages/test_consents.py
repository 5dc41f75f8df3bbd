from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from store import times
from store.domain.lock import Actor, Role
from store.preference import Phone
from tests.store.web.conftest import CELL, LINE, NOW, statements
from tests.store.web.pages.conftest import Pages

EMR = "General Hospital EMR"
START_ENDS = "The opt-out counts, whatever the EMR states; a START from the same phone ends it."
ROWS = (
    (None, "", "Nobody has refused texts."),
    ("granted", "", f"{EMR} allows texts, and nobody has opted out."),
    ("denied", "", f"{EMR} denies texts. A START from the patient does not end that: it has to be changed there."),
    (None, "STOP", f"The patient opted out by text. {START_ENDS}"),
    ("granted", "STOP", f"{EMR} allows texts, but the patient opted out by text. {START_ENDS}"),
    ("denied", "STOP", f"{EMR} denies texts. There is an opt-out as well: texts are blocked until both end."),
    ("granted", "hand", f"{EMR} allows texts, but an opt-out was recorded here. It counts, whatever the EMR states."),
    (
        "granted",
        "stop by at noon",
        f"{EMR} allows texts, but an unclear reply awaits review. Texts from its line are suspended until then.",
    ),
    ("granted", "billing", f"{EMR} allows texts, except about billing: an opt-out was recorded for that."),
)


@pytest.mark.parametrize(("emr", "opt_out", "words"), ROWS)
def test_the_emrs_consent_and_sms_consent_are_reconciled(fresh_pages: Pages, emr: str | None, opt_out: str, words: str) -> None:
    stated = {"consent.sms": emr} if emr else {}
    phones = (Phone("+12175550144", "cell", "", 1, True),)
    store = fresh_pages.store
    with store.database.write("general") as transaction:
        store.apply_many(transaction, "general", "genhosp-adt", [statements("BOTH", "B1", phones=phones, **stated)], now=NOW)
    number = fresh_pages.patient("BOTH")
    if opt_out in ("hand", "billing"):
        topic = "billing" if opt_out == "billing" else None
        by = {"actor": Actor(Role.STAFF, "desk"), "now": NOW}
        store.record_sms_opt_out("general", number.removeprefix("/patients/"), line=None, topic=topic, **by)  # type: ignore[arg-type]
    elif opt_out:
        store.record_reply("general", LINE, "+12175550144", opt_out, NOW, NOW)
    assert f"an opt-out can always be recorded here. {words} SMS consent" in fresh_pages.signed_in("staff").get(number).text


def test_an_opt_out_of_a_number_that_left_the_file_is_marked_and_so_is_a_preferred_phone(fresh_pages: Pages) -> None:
    store = fresh_pages.store
    old, new = (Phone("+12175550144", "cell", "", 1, True),), (Phone("+12175550145", "cell", "", 1, True),)
    first = statements("MOVED", "V1", phones=old, preferred_phone="+12175550144", **{"consent.voice#+12175550144": "denied"})
    second = replace(statements("MOVED", "V2", phones=new), effective=times.at(NOW))
    for item in (first, second):
        with store.database.write("general") as transaction:
            store.apply_many(transaction, "general", "genhosp-adt", [item], now=NOW)
        if item is first:
            store.record_reply("general", LINE, "+12175550144", "STOP", NOW, NOW)
    text = fresh_pages.signed_in("staff").get(fresh_pages.patient("MOVED")).text
    assert "Preferred phone +1 217-555-0144 no longer on file" in text
    assert "Opted Out of 1 number 1 no longer on file" in text
    assert "+1 217-555-0144 from +1 217-555-0190 no longer on file by the patient" in text
    assert "Consent to calls at +1 217-555-0144 denied no longer on file" in text


def test_the_history_of_texts_has_line_and_number_before_and_after(fresh_pages: Pages) -> None:
    store, where = fresh_pages.store, fresh_pages.patient()
    store.record_reply("general", LINE, CELL, "STOP", NOW, NOW)
    store.record_reply("general", LINE, CELL, "START", NOW + timedelta(seconds=1), NOW + timedelta(seconds=1))
    number = where.removeprefix("/patients/")
    by = {"actor": Actor(Role.STAFF, "desk"), "reason": "asked", "now": NOW + timedelta(seconds=2)}
    store.record_sms_opt_out("general", number, line=LINE, topic="billing", **by)  # type: ignore[arg-type]
    store.record_reply("general", LINE, CELL, "I will stop by", NOW + timedelta(seconds=3), NOW + timedelta(seconds=3))
    store.decide_reply("general", store.replies.some("general")[0].id, "dismiss", **by | {"now": NOW + timedelta(seconds=4)})  # type: ignore[arg-type]
    history = fresh_pages.signed_in("auditor").get(where).text.partition(" History ")[2]
    to = "Texts from +1 217-555-0190 to +1 217-555-0101"
    lines = [
        f"staff (desk) {to}: opted out → opted in “asked”",
        f"the patient {to}: opted in → suspended until a person reads the reply",
        f"staff (desk) {to} and +1 217-555-0102 about billing: opted in → opted out “asked”",
        f"the patient {to}: opted out → opted in",
        f"the patient {to}: opted in → opted out",
    ]
    places = [history.find(line) for line in lines]
    assert -1 not in places
    assert places == sorted(places)
