from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from store import times
from store.audit.audit_log import Audit
from store.domain.attributes import REGISTRY, Kind
from store.domain.enterprise import Source
from store.domain.lock import Actor, Role
from store.domain.patient import PatientRef
from store.preference import Identifier, PatientMerge, PatientStatements, Phone, Problem
from store.web.pages import card
from store.web.pages.timeline import RECENT
from tests.store.web.conftest import CELL, HOME, LINE, NOW, statements
from tests.store.web.pages.conftest import Pages

READERS = ("enterprise", "manager", "staff", "auditor")


def test_a_patient_is_found_by_identifier_and_never_by_url(pages: Pages) -> None:
    browser = pages.signed_in("staff")
    found = browser.post("/patients", value="MRN1")
    assert (found.status, found.where) == (303, pages.patient())
    assert browser.post("/patients", value="MRN1", authority="GENHOSP").where == pages.patient()
    assert browser.get("/patients?value=MRN1").status == 200
    assert browser.get("/patients/MRN1").status == 404


def test_an_unknown_identifier_gets_a_friendly_message(pages: Pages) -> None:
    browser = pages.signed_in("staff")
    for value, status in (("MRN404", 404), ("", 422), ("pt_0000000000000000", 404)):
        seen = browser.post("/patients", value=value)
        assert seen.status == status
        assert 'role="alert"' in seen.response.text


def test_a_patient_of_another_enterprise_is_not_found(pages: Pages) -> None:
    browser = pages.signed_in("enterprise", "local")
    seen = browser.get(pages.patient(enterprise="general"))
    assert seen.status == 404
    for what in ("do-not-contact", "preferred-phone", "sms-consent"):
        where = f"{pages.patient(enterprise='general')}/{what}"
        assert browser.post(where, value="yes", reason="x", number=CELL, line=LINE).status == 404


@pytest.mark.parametrize("role", READERS)
def test_while_the_enterprise_syncs_the_toggle_is_locked_for_every_role(pages: Pages, role: str) -> None:
    seen = pages.signed_in(role).get(pages.patient("MRN2"))
    assert seen.status == 200
    assert "Do Not Contact: on" in seen.text
    assert "locked" in seen.text
    assert "Set by General Hospital EMR since" in seen.text
    assert "update this patient in General Hospital EMR" in seen.text
    assert "/do-not-contact" not in seen.response.text


@pytest.mark.parametrize("role", ["enterprise", "manager", "staff"])
def test_a_locked_toggle_is_refused_on_the_facesheet_with_where_to_change_it(pages: Pages, role: str) -> None:
    seen = pages.signed_in(role).post(f"{pages.patient()}/do-not-contact", value="yes", reason="asked")
    assert seen.status == 423
    assert "do_not_contact is controlled by General Hospital EMR" in seen.text
    assert "Do Not Contact: off" in seen.text


def test_an_enterprise_user_switches_the_toggle_without_sync(fresh_pages: Pages) -> None:
    browser, where = fresh_pages.signed_in("enterprise", "local"), fresh_pages.patient(enterprise="local")
    assert "Do Not Contact: unknown" in browser.get(where).text
    flipped = browser.post(f"{where}/do-not-contact", value="yes", reason="asked by phone", version="1")
    assert (flipped.status, flipped.where) == (303, f"{where}?done=do-not-contact")
    seen = browser.get(flipped.where)
    assert "Do Not Contact was changed." in seen.text
    assert "Do Not Contact: on" in seen.text
    assert "asked by phone" in seen.text
    assert "staff (enterprise-local)" in seen.text


def test_a_toggle_change_needs_a_reason_and_the_displayed_version(fresh_pages: Pages) -> None:
    browser, where = fresh_pages.signed_in("enterprise", "local"), fresh_pages.patient(enterprise="local")
    assert browser.post(f"{where}/do-not-contact", value="yes").status == 422
    assert browser.post(f"{where}/do-not-contact", value="yes", reason="x" * 501).status == 422
    assert browser.post(f"{where}/do-not-contact", value="perhaps", reason="asked").status == 422
    assert browser.post(f"{where}/do-not-contact", value="yes", reason="asked", version="7").status == 412
    assert fresh_pages.store.find("local", PatientRef(value="MRN1")).contact.do_not_contact == "unknown"


@pytest.mark.parametrize("role", ["manager", "staff"])
def test_managers_and_staff_see_the_toggle_and_cannot_switch_it(pages: Pages, role: str) -> None:
    browser, where = pages.signed_in(role, "local"), pages.patient(enterprise="local")
    seen = browser.get(where)
    assert "Do Not Contact:" in seen.text
    assert "Only an enterprise user can change it." in seen.text
    assert "/do-not-contact" not in seen.response.text
    assert browser.post(f"{where}/do-not-contact", value="yes", reason="asked").status == 403


@pytest.mark.parametrize("role", READERS)
def test_a_disabled_setting_hides_the_toggle(pages: Pages, role: str) -> None:
    browser, where = pages.signed_in(role, "quiet"), pages.patient(enterprise="quiet")
    assert 'class="switch' not in browser.get(where).response.text
    if role != "auditor":
        assert browser.post(f"{where}/do-not-contact", value="yes", reason="asked").status == 409


def test_an_auditor_can_view_but_not_change(pages: Pages) -> None:
    browser, where = pages.signed_in("auditor", "local"), pages.patient(enterprise="local")
    assert '<details class="flip' not in browser.get(where).response.text
    for what in ("do-not-contact", "preferred-phone", "sms-consent"):
        assert browser.post(f"{where}/{what}", value="yes", reason="x", number=CELL, all_lines="1").status == 403


def test_an_operator_cannot_see_patients(pages: Pages) -> None:
    browser = pages.signed_in("operator")
    assert browser.get("/patients").status == 403
    assert browser.post("/patients", value="MRN1").status == 403
    assert browser.get(pages.patient()).status == 403


def test_phones_show_kind_text_capability_and_sharing(pages: Pages) -> None:
    text = pages.signed_in("staff").get(pages.patient()).text
    assert "+1 217-555-0101 cell text or call 2 patients share this number" in text
    assert "+1 217-555-0102 home call only" in text
    assert "pat@example.test" in text
    assert "English (en)" in text


def test_each_value_shows_its_source(pages: Pages) -> None:
    text = pages.signed_in("staff").get(pages.patient()).text
    assert "Where the values come from Value Source Effective Recorded Evidence Field Do Not Contact: no General Hospital EMR" in text
    assert "Language: English (en) General Hospital EMR" in text
    assert "M1 PID" in text.partition("Where the values come from")[2].partition("Consent to texts")[0]


def test_the_preferred_phone_is_one_of_those_on_file(fresh_pages: Pages) -> None:
    browser, where = fresh_pages.signed_in("staff", "local"), fresh_pages.patient(enterprise="local")
    assert browser.post(f"{where}/preferred-phone", number="+12175550999").status == 422
    assert browser.post(f"{where}/preferred-phone", number=HOME).status == 303
    text = browser.get(where).text
    assert "Preferred contact CALL +1 217-555-0102" in text
    assert browser.post(f"{where}/preferred-phone", number=CELL).status == 303
    assert "Preferred contact TEXT +1 217-555-0101" in browser.get(where).text


def test_an_opt_out_is_recorded_from_a_line_or_from_all_and_shown_with_its_lines(fresh_pages: Pages) -> None:
    browser, where = fresh_pages.signed_in("staff"), fresh_pages.patient()
    assert "SMS consent Opted In" in browser.get(where).text
    assert browser.post(f"{where}/sms-consent").status == 422
    assert browser.post(f"{where}/sms-consent", line=LINE, reason="said at the desk").status == 303
    text = browser.get(where).text
    assert "Opted Out of 2 numbers" in text
    assert "from +1 217-555-0190" in text
    assert browser.post(f"{where}/sms-consent", all_lines="1").status == 303
    assert "from every line" in browser.get(where).text


def test_the_decision_is_shown_for_all_four_message_types(fresh_pages: Pages) -> None:
    where = fresh_pages.patient("MRN2")
    text = fresh_pages.signed_in("staff").get(where).text
    assert "Automation Do not send The patient must not be contacted by automations." in text
    for kind in ("Broadcast", "Campaign", "Manual"):
        assert f"{kind} Send by text +1 217-555-0101 No restrictions." in text
    opt_out(fresh_pages, "MRN2")
    text = fresh_pages.signed_in("staff").get(where).text
    assert "Broadcast Send by call +1 217-555-0101 No text: The patient opted out of texts" in text


def opt_out(pages: Pages, value: str) -> None:
    patient = pages.store.find("general", PatientRef(value=value))
    pages.store.record_sms_opt_out("general", patient.id, line=None, actor=Actor(Role.STAFF, "desk"), now=NOW)


def test_the_history_is_a_timeline_with_before_and_after(fresh_pages: Pages) -> None:
    later = replace(statements("MRN1", "M9", do_not_contact="yes"), effective=times.at(NOW))
    with fresh_pages.store.database.write("general") as transaction:
        fresh_pages.store.apply_many(transaction, "general", "genhosp-adt", [later], now=NOW)
    text = fresh_pages.signed_in("auditor").get(fresh_pages.patient()).text
    assert re.search(r"History \d{4}-\d\d-\d\d \d\d:\d\d UTC · General Hospital EMR · message M9 Do Not Contact: no → yes PID", text)
    assert re.search(r"· message M1 Do Not Contact: unknown → no PID .*Phones: none → \+1 217-555-0101, \+1 217-555-0102 PID", text)


def test_only_the_recent_part_of_a_long_history_is_shown(fresh_pages: Pages) -> None:
    browser, where = fresh_pages.signed_in("staff"), fresh_pages.patient()
    assert "The latest" not in browser.get(where).text
    for turn in range(RECENT):
        later = replace(
            statements("MRN1", f"M{turn}", do_not_contact=("yes", "no")[turn % 2]), effective=times.at(NOW + timedelta(seconds=turn))
        )
        with fresh_pages.store.database.write("general") as transaction:
            fresh_pages.store.apply_many(transaction, "general", "genhosp-adt", [later], now=NOW + timedelta(hours=1))
    seen = browser.get(where)
    assert seen.response.text.partition('<ol class="timeline">')[2].partition("</ol>")[0].count("<li>") == RECENT
    assert f"The latest {RECENT} changes." in seen.text


def test_times_are_in_the_enterprises_time_zone_with_a_machine_readable_time(pages: Pages) -> None:
    html = pages.signed_in("staff").get(pages.patient()).response.text
    assert re.search(r'<time datetime="[^"]+\+00:00">\d{4}-\d\d-\d\d \d\d:\d\d UTC</time>', html)


def test_text_from_people_and_emrs_is_escaped(fresh_pages: Pages) -> None:
    browser, where = fresh_pages.signed_in("enterprise", "local"), fresh_pages.patient(enterprise="local")
    fresh_pages.moment.advance(timedelta(seconds=5))
    assert browser.post(f"{where}/do-not-contact", value="yes", reason="<script>alert(1)</script>").status == 303
    html = browser.get(where).response.text
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


def test_viewing_a_facesheet_is_in_the_audit_log(pages: Pages) -> None:
    assert pages.signed_in("manager").get(pages.patient()).status == 200
    (line,) = Audit(pages.store.database).newest("general", limit=1)
    assert line.line.action == "viewed_patient"
    assert line.line.actor.startswith("manager:")
    assert pages.patient().endswith(line.line.subject)


def stated(pages: Pages, *items: PatientStatements | PatientMerge, enterprise: str = "general", source: str = "genhosp-adt") -> None:
    with pages.store.database.write(enterprise) as transaction:
        pages.store.apply_many(transaction, enterprise, source, items, now=NOW)


def test_a_local_do_not_contact_from_before_sync_is_shown_as_kept_until_the_emr_states_one(
    fresh_pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = fresh_pages.patient(enterprise="quiet")
    before = fresh_pages.store.enterprises["quiet"]
    switched_on = replace(before, do_not_contact_toggle=True)
    monkeypatch.setitem(fresh_pages.store.enterprises, "quiet", switched_on)  # type: ignore[arg-type]
    change = {"actor": Actor(Role.ENTERPRISE, "pat"), "reason": "asked at the desk", "now": NOW}
    fresh_pages.store.set_do_not_contact("quiet", where.removeprefix("/patients/"), "yes", **change)  # type: ignore[arg-type]
    monkeypatch.setitem(fresh_pages.store.enterprises, "quiet", replace(before, syncs=True))  # type: ignore[arg-type]
    text = fresh_pages.signed_in("staff", "quiet").get(where).text
    assert "Do Not Contact: on locked Automations are not sent" in text  # the EMR's refusal is older
    assert "It stays in effect until the EMR sends a newer value" in text
    stated(fresh_pages, statements("NEW", "N1", language="es-MX"), enterprise="quiet", source="practice")
    new = fresh_pages.patient("NEW", "quiet")
    text = fresh_pages.signed_in("staff", "quiet").get(new).text
    assert "Practice EMR controls this setting and has not sent a value yet. To change it, update this patient in Practice EMR." in text


def test_a_value_of_staff_is_not_shown_as_the_emrs(fresh_pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    stated(fresh_pages, statements("NEW", "N1", language="es-MX"), enterprise="local", source="clinic")
    where = fresh_pages.patient("NEW", "local")
    assert fresh_pages.signed_in("enterprise", "local").post(f"{where}/do-not-contact", value="yes", reason="asked").status == 303
    before = fresh_pages.store.enterprises["local"]
    monkeypatch.setitem(fresh_pages.store.enterprises, "local", replace(before, syncs=True, do_not_contact_toggle=False))  # type: ignore[arg-type]
    text = fresh_pages.signed_in("staff", "local").get(where).text
    assert "Do Not Contact: on locked" in text
    assert "Set here by staff before Clinic EMR took over this setting. It stays in effect until the EMR sends a newer value." in text
    assert "To change it, update this patient in Clinic EMR." in text
    assert "Set by Clinic EMR" not in text


def test_a_language_is_shown_by_its_name(fresh_pages: Pages) -> None:
    browser = fresh_pages.signed_in("staff")
    for number, (tag, name) in enumerate({"es-MX": "Spanish (es-MX)", "ase": "American Sign Language (ase)", "hmn": "Hmong (hmn)"}.items()):
        stated(fresh_pages, statements(f"L{number}", f"L{number}", language=tag))
        assert f"Language {name}" in browser.get(fresh_pages.patient(f"L{number}")).text


def test_every_attribute_has_a_line_on_the_card(fresh_pages: Pages) -> None:
    flags = {one.name: True for one in REGISTRY if one.kind is Kind.FLAG}
    stated(fresh_pages, statements("ALL", "ALL", **flags))
    shown = fresh_pages.signed_in("staff").get(fresh_pages.patient("ALL")).text.partition("History")[0]
    assert [one.title for one in REGISTRY if one.name not in card.APART and one.title not in shown] == []


def test_a_deceased_and_a_restricted_record_show_the_effect_and_the_source(fresh_pages: Pages) -> None:
    stated(fresh_pages, statements("GONE", "G1", deceased=True, restricted=True, active=False))
    seen = fresh_pages.signed_in("staff").get(fresh_pages.patient("GONE"))
    assert "DECEASED RESTRICTED INACTIVE" in seen.text
    assert re.search(r"Deceased yes .*?Nothing is sent on any channel.", seen.text)
    assert "Deceased: yes General Hospital EMR" in seen.text
    assert "Restricted record yes" in seen.text
    assert "may be withheld, not removed" in seen.text
    assert "Active record no" in seen.text
    assert seen.text.count("Do not send The patient has died.") == 4


def test_a_merged_record_redirects_to_its_survivor(fresh_pages: Pages) -> None:
    old, new = fresh_pages.patient("MRN2"), fresh_pages.patient("MRN1")
    merge = PatientMerge((Identifier("GENHOSP", "MR", "MRN1"),), (Identifier("GENHOSP", "MR", "MRN2"),), times.at(NOW), "A40-7")
    stated(fresh_pages, merge)
    browser = fresh_pages.signed_in("staff")
    by_old = browser.get(old)
    assert "The record you requested was merged into this one" in by_old.text
    assert "GENHOSP MR MRN1 GENHOSP MR MRN2" in by_old.text
    by_new = browser.get(new)
    assert "The record you requested" not in by_new.text
    assert re.search(r"Records merged into this one \S+ \S+ UTC · General Hospital EMR", by_new.text)
    assert f"Evidence A40-7 Record {old.removeprefix('/patients/')}" in by_new.text
    unmerged = {"actor": Actor(Role.ENTERPRISE, "pat"), "reason": "two people", "now": NOW + timedelta(minutes=1)}
    fresh_pages.store.unmerge("general", PatientRef(value="MRN2"), **unmerged)  # type: ignore[arg-type]
    assert "Records merged into this one" not in browser.get(new).text
    assert "The record you requested" not in browser.get(old).text


def test_an_unknown_patient_leads_to_the_search(pages: Pages) -> None:
    seen = pages.signed_in("staff").get("/patients/pt_0000000000000000")
    assert seen.status == 404
    assert "Patient not found. Search for the patient below." in seen.text
    assert 'id="value"' in seen.response.text


def test_a_patient_without_preferences_has_a_text_in_every_place(fresh_pages: Pages) -> None:
    stated(fresh_pages, statements("BARE", "B1", active=True))
    text = fresh_pages.signed_in("enterprise").get(fresh_pages.patient("BARE")).text
    for words in ("Preferred contact unknown", "Phones no phone on file", "E-mail unknown", "Language unknown", "SMS consent Opted In",
                  "Consent to calls unknown", "Topics none"):  # fmt: skip
        assert words in text


def test_the_facesheet_shows_the_time_zone_and_the_user(pages: Pages) -> None:
    text = pages.signed_in("manager").get(pages.patient()).text
    assert "Time zone: UTC." in text
    assert text.endswith("by manager-general, manager.")
    assert re.search(r"Synced from General Hospital EMR since \S+ \S+ UTC , last update", text)


def test_unreadable_values_are_shown_with_where_to_look(fresh_pages: Pages) -> None:
    item = replace(statements("MRN1", "M9"), effective=times.at(NOW), problems=(Problem("code_unmapped", "ZCP-2", "", "do_not_contact"),))
    store = fresh_pages.store
    source = store.enterprises["general"].sources[0]
    with store.database.write("general") as transaction:
        store.apply_many(transaction, "general", source.name, [item], now=NOW)
    text = fresh_pages.signed_in("staff").get(fresh_pages.patient()).text
    assert "Do Not Contact could not be read in a message from" in text
    assert f"Check it in {source.display_name or source.name}." in text
    assert "could not be read" not in fresh_pages.signed_in("staff").get(fresh_pages.patient("MRN2")).text


def test_a_lock_is_shown_once_per_group_and_has_no_control_beside_it(fresh_pages: Pages) -> None:
    stated(
        fresh_pages,
        statements("LOCKED", "L1", preferred_method="voice", preferred_phone=CELL, phones=(Phone(CELL, "cell"),), language="en"),
    )
    html = fresh_pages.signed_in("staff").get(fresh_pages.patient("LOCKED")).response.text
    locked, free = html.partition('<div class="group">')[2].split('<div class="group">')
    assert locked.count("Set in General Hospital EMR") == 1
    assert html.count("Set in General Hospital EMR") == 1
    assert all(f"<dt>{title}</dt>" in locked for title in ("Preferred contact", "Preferred phone", "Phones", "Language"))
    assert "<details" not in locked
    assert "Not locked" in free
    assert "preferred-phone" not in html


def test_the_preferred_phone_is_chosen_only_where_it_is_not_locked(fresh_pages: Pages) -> None:
    html = fresh_pages.signed_in("staff").get(fresh_pages.patient("MRN1")).response.text  # the EMR states phones, and no preferred one
    locked, free = html.partition('<div class="group">')[2].split('<div class="group">')
    assert "<dt>Phones</dt>" in locked
    assert "preferred-phone" not in locked
    assert "preferred-phone" in free


def test_rows_of_two_sources_have_a_lock_each(fresh_pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fresh_pages.store.enterprises["general"]
    second = Source("lab", "Lab EMR", contact="e-mail the lab's desk.")
    monkeypatch.setitem(fresh_pages.store.enterprises, "general", replace(before, sources=(*before.sources, second)))  # type: ignore[arg-type]
    stated(fresh_pages, statements("TWO", "T1", do_not_contact="no", phones=(Phone(CELL, "cell"),)))
    stated(fresh_pages, statements("TWO", "T2", language="es"), source="lab")
    text = fresh_pages.signed_in("staff").get(fresh_pages.patient("TWO")).text
    assert "Set in General Hospital EMR Phones" in text
    assert "Set in Lab EMR To change it in Lab EMR: e-mail the lab's desk. Language" in text


def test_the_facesheet_names_whom_to_contact_for_changes(fresh_pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fresh_pages.store.enterprises["general"]
    source = replace(before.sources[0], contact="call the registration desk, 217-555-0100")
    monkeypatch.setitem(fresh_pages.store.enterprises, "general", replace(before, sources=(source,)))  # type: ignore[arg-type]
    unread = replace(statements("MRN2", "M9"), effective=times.at(NOW), problems=(Problem("code_unmapped", "PV1-16", "", "consent.voice"),))
    stated(fresh_pages, unread)
    text = fresh_pages.signed_in("staff").get(fresh_pages.patient("MRN2")).text
    contact = "General Hospital EMR: call the registration desk, 217-555-0100."
    assert "Automations: blocked (not readable in General Hospital EMR)" in text
    assert re.search(
        r"Consent to calls could not be read in a message from General Hospital EMR \(.*?\)\. Messages that depend on it", text
    )
    assert text.count(f"Check it in {contact}") == 3, "calls, automations and the note"
    assert text.count(f"To change it in {contact}") == 1, "the toggle; the group of the same source does not repeat it"


def test_what_is_unreadable_is_described_by_the_policy(fresh_pages: Pages) -> None:
    stated(
        fresh_pages,
        replace(statements("MRN1", "M9"), effective=times.at(NOW), problems=(Problem("code_unmapped", "ZCP-2", "", "do_not_contact"),)),
    )
    fresh_pages.store.settings.put("general", {"when_unreadable": "flag"}, actor=Actor(Role.ENTERPRISE, "pat"), now=NOW)
    text = fresh_pages.signed_in("staff").get(fresh_pages.patient()).text
    assert "Decisions use the previous value and say so." in text
    assert "Automations: allowed , by text (unclear)" in text
    assert "and the policy is to refuse" not in text
