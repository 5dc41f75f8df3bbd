"""What did not arrive: disabled webhook endpoints and opt-outs that EMRs did not take, on the overview and on their own page."""

from __future__ import annotations

from datetime import timedelta

from store.audit.audit_log import Audit
from store.db.tables_records import WriteBackRow
from store.domain.ids import parsed
from store.domain.patient import PatientRef
from store.domain.write_back import WriteBackState
from store.patients.replies import APPOINTMENT, KeptText
from store.patients.webhook_outbox import Outbox
from store.patients.write_backs import COLUMNS, WriteBacks
from store.web.pages.undelivered import ENABLED
from tests.store.web.conftest import CELL, ENTERPRISES, LINE
from tests.store.web.pages.conftest import Pages

WHY = "refused by the EMR: HTTP 422"


def disabled(pages: Pages, enterprise: str = "general") -> str:
    """The webhook endpoint of an enterprise, which answered 410."""
    name = f"crm-{enterprise}"
    Outbox(pages.store, name, enterprise).disable("the endpoint answered 410", pages.moment())
    return name


def dead(pages: Pages, enterprise: str = "general") -> str:
    """An opt-out that the EMR refused; gives its patient."""
    patient = pages.store.find(enterprise, PatientRef(value="MRN1")).id
    source, now = ENTERPRISES[enterprise].sources[0].name, pages.moment()
    row = (source, parsed(patient), "consent.sms", enterprise, str(WriteBackState.DEAD), now, 7, now, WHY, None)
    with pages.store.database.write(enterprise) as transaction:
        pages.store.database.insert(transaction, WriteBackRow, COLUMNS, [row])
    return patient


def test_what_did_not_arrive_waits_on_the_overview(fresh_pages: Pages) -> None:
    disabled(fresh_pages)
    dead(fresh_pages)
    fresh_pages.moment.advance(timedelta(hours=2))
    seen = fresh_pages.signed_in("operator").get("/overview")
    assert "The webhook endpoint crm-general is disabled 2 hours" in seen.text
    assert "1 opt-out that the EMR did not accept 2 hours" in seen.text
    assert seen.response.text.count('href="/undelivered"') == 2
    assert "Nothing waits for a person" in fresh_pages.signed_in("operator", "local").get("/overview").text


def test_a_bare_cancel_waits_on_the_overview(fresh_pages: Pages) -> None:
    now = fresh_pages.moment()
    with fresh_pages.store.database.write("general") as transaction:
        fresh_pages.store.replies.add(transaction, "general", [KeptText(CELL, LINE, "line", "cancel", now, APPOINTMENT)], now)
    fresh_pages.moment.advance(timedelta(hours=2))
    assert "1 reply that may also cancel an appointment 2 hours" in fresh_pages.signed_in("operator").get("/overview").text


def test_an_endpoint_is_enabled_by_a_button_and_the_audit_log_says_by_whom(fresh_pages: Pages) -> None:
    name, browser = disabled(fresh_pages), fresh_pages.signed_in("operator")
    assert "the endpoint answered 410" in browser.get("/undelivered").text
    done = browser.post(f"/undelivered/webhooks/{name}")
    assert (done.status, done.where) == (303, "/undelivered?done=enabled")
    shown = browser.get(done.where).text
    assert "The endpoint is enabled." in shown
    assert "crm-general 0 enabled" in shown
    assert Outbox(fresh_pages.store, name, "general").state().disabled is None
    (line,) = [one.line for one in Audit(fresh_pages.store.database).newest("general", limit=9) if one.line.action == ENABLED]
    assert (line.subject, line.actor) == (name, "operator:operator-general")


def test_the_opt_outs_of_a_source_are_tried_again_by_a_button(fresh_pages: Pages) -> None:
    patient, browser = dead(fresh_pages), fresh_pages.signed_in("operator")
    shown = browser.get("/undelivered").text
    assert patient in shown
    assert WHY in shown
    done = browser.post("/undelivered/write-backs/genhosp-adt")
    assert (done.status, done.where) == (303, "/undelivered?done=retried")
    assert WriteBacks(fresh_pages.store.database).counts() == {("genhosp-adt", "waiting"): 1}
    assert "None." in browser.get(done.where).text


def test_nothing_of_another_enterprise_is_shown_or_tried_again(fresh_pages: Pages) -> None:
    name, _, browser = disabled(fresh_pages, "local"), dead(fresh_pages, "local"), fresh_pages.signed_in("operator")
    shown = browser.get("/undelivered").text
    assert name not in shown
    assert WHY not in shown
    assert browser.post(f"/undelivered/webhooks/{name}").status == 404
    assert browser.post("/undelivered/write-backs/clinic").status == 404
    assert WriteBacks(fresh_pages.store.database).counts() == {("clinic", "dead"): 1}
