from __future__ import annotations

import pytest

from tests.store.web.pages.conftest import Pages


def test_every_facesheet_view_is_in_the_audit_log(fresh_pages: Pages) -> None:
    where = fresh_pages.patient()
    assert fresh_pages.signed_in("staff").get(where).status == 200
    auditor = fresh_pages.signed_in("auditor")
    text = auditor.get("/audit").text
    assert f"staff:staff-general viewed patient {where.removeprefix('/patients/')}" in text
    assert "MRN1" not in text
    assert auditor.get(f"/audit?subject={where.removeprefix('/patients/')}").text.count("viewed patient") == 1
    assert "No entries yet." in auditor.get("/audit?subject=pt_0").text


def test_a_toggle_change_is_in_the_audit_log_of_its_enterprise_only(fresh_pages: Pages) -> None:
    where = fresh_pages.patient(enterprise="local")
    assert fresh_pages.signed_in("enterprise", "local").post(f"{where}/do-not-contact", value="yes", reason="asked").status == 303
    assert "set do not contact" in fresh_pages.signed_in("auditor", "local").get("/audit").text
    assert "set do not contact" not in fresh_pages.signed_in("auditor").get("/audit").text


def test_sign_in_failed_sign_in_and_sign_out_are_in_the_audit_log(fresh_pages: Pages) -> None:
    staff = fresh_pages.signed_in("staff")
    assert staff.post("/sign-out").status == 303
    fresh_pages.stranger().post("/sign-in", name="tulip-hammer-river", password="wrong")
    text = fresh_pages.signed_in("auditor").get("/audit").text
    for line in ("staff:staff-general signed in", "staff:staff-general signed out", "stranger refused sign in"):
        assert line in text
    assert "tulip" not in text
    assert text.count("unknown name") == 1
    local = fresh_pages.signed_in("auditor", "local").get("/audit").text
    assert "stranger refused sign in" in local
    assert "staff-general" not in local


def test_an_audit_line_about_a_user_says_who_and_why(fresh_pages: Pages) -> None:
    name, _ = fresh_pages.user("staff")
    fresh_pages.stranger().post("/sign-in", name=name, password="wrong")
    text = fresh_pages.signed_in("auditor").get("/audit").text
    assert "staff-general, wrong password" in text
    assert "staff-general, staff, added" in text
    assert "auditor:auditor-general signed in" in text


@pytest.mark.parametrize("role", ["enterprise", "manager", "staff", "operator"])
def test_the_audit_log_is_for_auditors_only(pages: Pages, role: str) -> None:
    assert pages.signed_in(role).get("/audit").status == 403
