"""A list of suppressions is what decisions refuse, address by address."""

from __future__ import annotations

from typing import Any

import pytest

from store.domain.decision_request import DecisionRequest
from store.patients.address_opt_outs import AskedOptOut, record_opt_out
from store.patients.suppressions import suppressions
from tests.store.site import CELL, HOME, LINE, OTHER_LINE, WORK, Site, cell, merges, says

NOBODYS = "+12175550166"


def listed(site: Site, channel: str = "sms", line: str | None = LINE, kind: str = "broadcast") -> dict[str, str]:
    request = DecisionRequest(message_type=kind, channels=(channel,), line=line)
    return {address: one.reason for address, one in suppressions(site.store, site.enterprise, request, site.now).items()}


def test_it_lists_opt_outs_denials_and_deaths_and_nobody_else(site: Site) -> None:
    site.apply(
        says("1", 0, {"phones": (cell(CELL),)}),
        says("2", 0, {"phones": (cell(HOME),), "consent.sms": "denied"}),
        says("3", 0, {"phones": (cell(WORK),), "deceased": True}),
        says("4", 0, {"phones": (cell("+12175550104"), cell("+12175550105")), "consent.sms#+12175550104": "denied"}),
        says("5", 0, {"phones": (cell("+12175550106"),), "do_not_contact": "yes"}),
        says("6", 0, {"phones": (cell("+12175550107"),), "preferred_method": "voice"}),
    )
    site.text("STOP", number=CELL)
    site.text("STOP", number=NOBODYS)
    refused = {CELL: "sms_opted_out", HOME: "sms_opted_out", WORK: "deceased", "+12175550104": "sms_opted_out", NOBODYS: "sms_opted_out"}
    assert listed(site) == refused
    assert listed(site, kind="automation") == refused | {"+12175550106": "do_not_contact", "+12175550107": "not_preferred"}
    assert listed(site, line=OTHER_LINE) == {address: why for address, why in refused.items() if address not in (CELL, NOBODYS)}
    assert listed(site, line=None) == refused
    assert listed(site, "voice", None) == {WORK: "deceased"}


def test_a_stop_lists_every_number_of_the_patient_it_binds(site: Site) -> None:
    site.apply(says("1", 0, {"phones": (cell(CELL),)}))
    site.text("STOP")
    site.apply(says("1", 1, {"phones": (cell(HOME), cell(WORK))}))
    assert set(listed(site)) == {CELL, HOME, WORK}
    site.text("START", number=HOME)
    assert listed(site) == {CELL: "sms_opted_out"}, "the former number is still opted out"


def test_one_of_two_patients_with_a_number_is_enough(site: Site) -> None:
    site.apply(says("1", 0, {"phones": (cell(CELL),)}), says("2", 0, {"phones": (cell(CELL),), "consent.sms": "denied"}))
    assert listed(site) == {CELL: "sms_opted_out"}


def test_every_page_of_patients_is_read(site: Site, monkeypatch: object) -> None:
    monkeypatch.setattr("store.patients.suppressions.PAGE", 2)  # type: ignore[attr-defined]
    numbers = [f"+1217555012{last}" for last in range(5)]
    site.apply(*(says(str(place), 0, {"phones": (cell(one),), "consent.sms": "denied"}) for place, one in enumerate(numbers)))
    assert sorted(listed(site)) == numbers


def test_it_lists_unsubscribed_addresses(site: Site) -> None:
    site.apply(says("1", 0, {"email": ("Pat@Example.test", "other@example.test")}))
    assert listed(site, "email", None) == {}
    record_opt_out(site.store, site.enterprise, AskedOptOut("email", "pat@example.test", "unsubscribe"), "sender:x", site.tick())
    assert listed(site, "email", None) == dict.fromkeys(("pat@example.test", "other@example.test"), "email_denied")


def test_a_number_that_is_denied_by_itself_is_listed_even_if_we_would_not_text_it(site: Site) -> None:
    landline = cell(HOME)._replace(textable=False)
    ended = cell(WORK)._replace(end="2001-01-01")
    site.apply(
        says("1", 0, {"phones": (landline,), f"consent.sms#{HOME}": "denied"}),
        says("2", 0, {"phones": (ended,), f"consent.voice#{WORK}": "denied"}),
        says("3", 0, {"phones": (cell(CELL)._replace(textable=False),)}),
    )
    assert listed(site) == {HOME: "sms_opted_out"}
    assert listed(site, "voice", None) == {WORK: "voice_denied"}


def test_a_number_that_changes_hands_while_the_list_is_read_is_listed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.apply(says("1", 0, {"language": "en"}), says("2", 0, {"phones": (cell(CELL),), "consent.sms": "denied"}))
    known, calls = site.store.known, []

    def merged_after_the_first_page(*asked: Any) -> Any:
        found = known(*asked)
        calls.append(found)
        if len(calls) == 1:
            site.apply(merges("1", "2", 10))
        return found

    monkeypatch.setattr("store.patients.suppressions.PAGE", 1)
    monkeypatch.setattr(site.store, "known", merged_after_the_first_page)
    assert listed(site) == {CELL: "sms_opted_out"}
