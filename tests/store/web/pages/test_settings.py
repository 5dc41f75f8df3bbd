from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from store.audit.audit_log import CHANGED_SETTINGS, Audit
from store.domain.policies import SETTINGS, Policy
from store.holds.review import awaiting_review
from store.runs.runs import RunKind
from tests.store.site import BY_LINE
from tests.store.web.pages.conftest import Pages
from tests.store.web.pages.test_causes import unread


@pytest.mark.parametrize("role", ["manager", "staff", "operator", "auditor"])
def test_only_enterprise_users_see_and_change_the_settings(pages: Pages, role: str) -> None:
    browser = pages.signed_in(role, "local")
    assert browser.get("/settings").status == 403
    assert browser.post("/settings", do_not_contact_toggle="false").status == 403
    assert pages.store.settings.get("local").do_not_contact_toggle is True


def test_the_do_not_contact_setting_is_not_offered_while_preferences_are_synced(pages: Pages) -> None:
    browser = pages.signed_in("enterprise")
    seen = browser.get("/settings")
    assert "This setting is not available because contact preferences are synced from General Hospital EMR." in seen.text
    assert 'name="do_not_contact_toggle"' not in seen.response.text
    refused = browser.post("/settings", do_not_contact_toggle="true")
    assert refused.status == 409
    assert "cannot be switched on while contact preferences are synced" in refused.text


def test_enabling_the_setting_shows_the_toggle_on_the_facesheet(fresh_pages: Pages) -> None:
    browser, where = fresh_pages.signed_in("enterprise", "quiet"), fresh_pages.patient(enterprise="quiet")
    assert 'class="switch' not in browser.get(where).response.text
    saved = browser.post("/settings", do_not_contact_toggle="true", when_stale="refuse")
    assert (saved.status, saved.where) == (303, "/settings?done=1")
    assert "Settings saved." in browser.get(saved.where).text
    assert "Do Not Contact: unknown" in browser.get(where).text
    settings = fresh_pages.store.settings.get("quiet")
    assert (settings.do_not_contact_toggle, settings.policy) == (True, Policy(when_stale="refuse"))


@pytest.mark.parametrize("form", [{"when_stale": "guess"}, {"do_not_contact_toggle": "maybe"}, {"appointment_may_lift_dnc": ""}])
def test_an_invalid_choice_is_refused(pages: Pages, form: dict[str, str]) -> None:
    browser = pages.signed_in("enterprise", "local")
    before = pages.store.settings.get("local")
    assert browser.post("/settings", **form).status == 422
    assert pages.store.settings.get("local") == before


def test_each_choice_has_its_effect_and_the_current_one_is_checked(pages: Pages) -> None:
    seen = pages.signed_in("enterprise", "local").get("/settings")
    assert "Decisions use the last known data and are marked as stale." in seen.text
    assert 'name="when_stale" value="flag" checked' in seen.response.text
    assert 'name="do_not_contact_toggle" value="true" checked' in seen.response.text


def test_settings_fixed_by_the_configuration_file_are_explained(pages: Pages) -> None:
    text = pages.signed_in("enterprise").get("/settings").text
    assert "Contact preferences are synced yes The EMR sets Do Not Contact" in text
    assert "Sources, most trusted first General Hospital EMR" in text
    assert "Words that reverse a STOP START, UNSTOP, YES" in text
    assert "What a STOP ends texts from its line" in text
    assert "Contact preferences are synced no" in pages.signed_in("enterprise", "local").get("/settings").text


def test_names_of_the_configuration_are_set_as_code(pages: Pages) -> None:
    seen = pages.signed_in("enterprise").get("/settings")
    assert "<code>revocation_scope</code> applies" in seen.response.text
    assert "`" not in seen.text


def test_every_setting_has_its_question_with_every_choice(pages: Pages) -> None:
    html = pages.signed_in("enterprise", "local").get("/settings").response.text
    for name, setting in SETTINGS.items():
        for choice in setting.choices:
            assert f'name="{name}" value="{str(choice.value).lower()}"' in html


def test_permitting_more_contact_is_confirmed_with_the_number_of_patients(fresh_pages: Pages) -> None:
    unread(fresh_pages, "MRN1")
    browser = fresh_pages.signed_in("enterprise")
    browser.get("/settings")
    asked = browser.post("/settings", when_unreadable="flag", when_preferred_impossible="next")
    assert "Do not send → Answer and flag 1 patient would become contactable" in asked.text
    assert "Do not send → Try the next channel Depends on each message: up to 2 patients." in asked.text
    assert fresh_pages.store.settings.get("general").policy == BY_LINE
    saved = browser.post("/settings", when_unreadable="flag", staff_may_record_opt_in="true", confirm="1")
    assert (saved.status, saved.where) == (303, "/settings?done=1")
    assert fresh_pages.store.settings.get("general").policy == replace(BY_LINE, when_unreadable="flag", staff_may_record_opt_in=True)
    (line,) = [one.line for one in Audit(fresh_pages.store.database).newest("general", limit=9) if one.line.action == CHANGED_SETTINGS]
    assert line.actor == "enterprise:enterprise-general"


def test_patients_of_a_silent_source_are_counted(fresh_pages: Pages) -> None:
    browser = fresh_pages.signed_in("enterprise")
    browser.get("/settings")
    assert browser.post("/settings", when_stale="refuse").status == 303
    assert "Nobody would become contactable now." in browser.post("/settings", when_stale="flag").text
    fresh_pages.moment.advance(timedelta(hours=27))
    browser = fresh_pages.signed_in("enterprise")
    browser.get("/settings")
    assert "Refuse → Answer and flag 2 patients would become contactable" in browser.post("/settings", when_stale="flag").text
    assert fresh_pages.store.settings.get("general").policy.when_stale == "refuse"


def test_permitting_less_needs_no_confirmation(fresh_pages: Pages) -> None:
    browser = fresh_pages.signed_in("enterprise")
    browser.get("/settings")
    assert browser.post("/settings", when_stale="refuse", search="identifiers").status == 303


def test_the_confirmation_of_an_odd_choice_changes_nothing(fresh_pages: Pages) -> None:
    browser = fresh_pages.signed_in("enterprise")
    browser.get("/settings")
    assert browser.post("/settings", when_unreadable="guess", confirm="1").status == 422
    assert fresh_pages.store.settings.get("general").policy == BY_LINE


def asked_for_approval(pages: Pages) -> str:
    """An enterprise user asks for a policy that permits contact to everybody; gives the run that holds it."""
    browser = pages.signed_in("enterprise")
    browser.get("/settings")
    form = {"when_stale": "refuse", "when_preferred_impossible": "next"}
    assert "Another person must approve it" in browser.post("/settings", **form).text
    saved = browser.post("/settings", **form, confirm="1")
    assert (saved.status, saved.where) == (303, "/settings?done=held")
    shown = browser.get(saved.where).text
    assert "What would permit it waits until another person approves it." in shown
    assert "Requested by enterprise:enterprise-general" in shown
    (run,) = held_runs(pages)
    return run


def held_runs(pages: Pages) -> list[str]:
    with pages.store.database.read() as connection:
        return [one.run for one in awaiting_review(pages.store.database, connection, "general") if one.kind == RunKind.SETTINGS]


def test_permitting_contact_to_too_many_waits_for_another_person(fresh_pages: Pages) -> None:
    run = asked_for_approval(fresh_pages)
    settings = fresh_pages.store.settings
    assert settings.get("general").policy == replace(BY_LINE, when_stale="refuse")
    operator = fresh_pages.signed_in("operator")
    assert "Changed settings held for 2 patients" in operator.get("/overview").text
    page = operator.get(f"/runs/{run}").text
    assert "Change of settings of" in page
    assert "When an automation cannot use the preferred contact method Do not send → Try the next channel 2" in page
    assert operator.post(f"/runs/{run}/approve").status == 303
    assert settings.get("general").policy == replace(BY_LINE, when_stale="refuse", when_preferred_impossible="next")
    assert "Approved for 2 patients by operator:operator-general" in operator.get(f"/runs/{run}").text
    assert "Held by the safeguard" not in fresh_pages.signed_in("enterprise").get("/settings").text


def test_a_rejected_change_of_settings_is_gone(fresh_pages: Pages) -> None:
    run = asked_for_approval(fresh_pages)
    operator = fresh_pages.signed_in("operator")
    operator.get(f"/runs/{run}")
    assert operator.post(f"/runs/{run}/reject").status == 303
    assert fresh_pages.store.settings.get("general").policy == replace(BY_LINE, when_stale="refuse")
    assert "Nothing waits for a person" in operator.get("/overview").text


def test_saving_the_form_unchanged_does_not_take_back_what_is_held(fresh_pages: Pages) -> None:
    run = asked_for_approval(fresh_pages)
    browser = fresh_pages.signed_in("enterprise")
    browser.get("/settings")
    assert browser.post("/settings", when_preferred_impossible="refuse", search="identifiers").where == "/settings?done=1"
    assert held_runs(fresh_pages) == [run]
