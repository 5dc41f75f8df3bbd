"""What a record with a period will state, and from when on. The source's days are Chicago's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.base import Filtered, Item
from adapters.fhir.consent_flag import certain_only, needs_confirmation, unless_refused
from adapters.fhir.periods import MOST
from store.preference import Later, PatientStatements
from tests.adapters.fhir.made import RECEIVED, patient, read, said
from tests.adapters.fhir.test_records import DNC, SMS, UPDATED, consent, flag, provision, second

CHICAGO = {"time_zone": "America/Chicago"}
DECEMBER = {"start": "2026-12-01", "end": "2026-12-31"}
BEGINS, ENDS = datetime(2026, 12, 1, 6, tzinfo=UTC), datetime(2027, 1, 1, 6, tzinfo=UTC)
UNTIL_NOON = datetime(2026, 11, 30, 12, 0, 1, tzinfo=UTC)


def seen(resource: dict[str, Any], options: Any = SMS, **changes: Any) -> tuple[dict[str, Any], list[tuple[str, datetime, Any]]]:
    """What is stated now, and what later."""
    item = said(resource, **CHICAGO, options=options, **changes)
    assert item.problems == ()
    return (
        {name: one.value for name, one in item.statements.items()},
        [(one.attribute, one.due, one.value) for one in item.later],
    )


@pytest.mark.parametrize(
    ("elements", "now", "later"),
    [
        ({"provision": {"type": "deny", "period": DECEMBER}}, None, [(BEGINS, "denied"), (ENDS, None)]),
        ({"provision": {"type": "permit", "period": DECEMBER}}, None, [(BEGINS, "granted"), (ENDS, None)]),
        ({"provision": {"type": "deny", "period": {"start": "2026-12"}}}, None, [(BEGINS, "denied")]),
        ({"provision": {"type": "permit", "period": {"end": "2026"}}}, "granted", [(ENDS, None)]),
        ({"provision": {"type": "deny", "period": {"start": "2020", "end": "2026-12-31"}}}, "denied", [(ENDS, None)]),
        ({"provision": {"type": "deny", "period": {"end": "2026-11-30T12:00:00Z"}}}, "denied", [(UNTIL_NOON, None)]),
        ({"provision": {"type": "permit", "period": {"start": "2026-12-01T00:00:00-06:00"}}}, None, [(BEGINS, "granted")]),
        ({"decision": "deny", "period": DECEMBER}, None, [(BEGINS, "denied"), (ENDS, None)]),
        ({"decision": "permit", "period": {"end": "2026-12-31"}}, "granted", [(ENDS, None)]),
        ({"provision": provision("permit") | {"provision": [{"type": "deny", "period": DECEMBER}]}}, "granted", None),
        ({"decision": "permit", "provision": [{"type": "deny", "period": DECEMBER}]}, "granted", None),
        ({"provision": {"type": "deny", "period": {"start": "2020"}}}, "denied", []),
        ({"provision": {"type": "deny", "period": {"start": "2026-12-01", "end": "soon"}}}, None, [(BEGINS, "denied")]),
        ({"provision": {"type": "deny", "period": {"start": "2027", "end": "2026-12"}}}, "denied", []),
        ({"status": "rejected", "provision": {"type": "deny", "period": DECEMBER}}, "denied", []),
    ],
)
def test_consent_states_what_its_period_will_change(elements: dict[str, Any], now: str | None, later: Any) -> None:
    later = [(BEGINS, "denied"), (ENDS, "granted")] if later is None else later
    stated, ahead = seen(consent(**elements))
    assert (stated, ahead) == ({"consent.sms": now} if now else {}, [("consent.sms", *one) for one in later])


def test_a_flag_too() -> None:
    stated, ahead = seen(flag(period=DECEMBER), {}, mapping=DNC)
    assert (stated, ahead) == ({}, [("do_not_contact", BEGINS, "yes"), ("do_not_contact", ENDS, None)])


def test_paths_name_what_decides() -> None:
    item = said(consent(provision={"type": "deny", "period": DECEMBER}), options=SMS)
    assert [one.path for one in item.later] == ["Consent.provision.type", "Consent.period"]


def test_a_permission_to_come_counts_from_when_it_was_given_and_a_refusal_from_its_last_change() -> None:
    given = {"dateTime": "2026-10-01T10:00:00Z"}
    permit, deny = (said(consent(provision={"type": kind, "period": DECEMBER}, **given), options=SMS) for kind in ("permit", "deny"))
    assert (permit.effective, deny.effective) == (second(datetime(2026, 10, 1, 10, tzinfo=UTC)), second(UPDATED))


def test_of_a_permission_to_come_whose_end_cannot_be_read_nothing_counts() -> None:
    item = read(consent(provision={"type": "permit", "period": {"start": "2026-12", "end": "soon"}}), options=SMS)
    assert item == [Filtered("consent_not_in_force", "file:1")]


def test_a_refusal_to_come_that_cannot_be_read_is_unreadable_at_once() -> None:
    item = said(consent(provision={"type": "forbid", "period": DECEMBER}), options=SMS)
    assert (item.statements, item.later) == ({}, ())
    assert {one.attribute for one in item.problems} == {"consent.sms"}


def test_a_modifier_that_is_not_understood_is_not_left_for_later() -> None:
    one = {"url": "https://own.example/turns-it-round", "valueBoolean": True}
    item = said(consent(provision={"type": "permit", "period": DECEMBER}, modifierExtension=[one]), options=SMS)
    assert (item.statements, item.later, item.problems[0].attribute) == ({}, (), "consent.sms")
    exception = {"type": "permit", "period": DECEMBER, "modifierExtension": [one]}
    item = said(consent(provision={"type": "permit", "provision": [exception]}), options=SMS)
    assert (item.statements, item.problems[0].attribute) == ({}, "consent.sms")


def test_a_record_with_too_many_periods_is_unreadable() -> None:
    periods = [{"type": "deny", "period": {"start": f"{2030 + year}", "end": f"{2030 + year}-06"}} for year in range(MOST)]
    item = said(consent(provision={"type": "permit", "provision": periods}), options=SMS)
    assert (item.later, [one.reason for one in item.problems]) == ((), ["too_many_periods"])


def test_addresses_have_their_period() -> None:
    entries = [
        {"system": "email", "value": "now@example.org", "period": {"end": "2026-11-30"}},
        {"system": "email", "value": "then@example.org", "period": {"start": "2026-12-24"}},
    ]
    item = said(patient(telecom=entries))
    assert item.statements["email"].value == ("now@example.org",)
    assert item.later == (
        Later("email", datetime(2026, 12, 1, tzinfo=UTC), None, "Patient.telecom"),
        Later("email", datetime(2026, 12, 24, tzinfo=UTC), ("then@example.org",), "Patient.telecom"),
    )
    assert said(patient(telecom=[{"system": "email", "value": "a@example.org"}])).later == ()


def test_a_day_on_which_a_phone_comes_or_goes_is_told_also_where_the_list_is_the_same() -> None:
    entries = [
        {"system": "phone", "value": "217-555-0101", "period": {"start": "2026-12"}},
        {"system": "sms", "value": "217-555-0102", "period": {"end": "2026-11-30"}},
        {"system": "fax", "value": "217-555-0103", "period": {"end": "2026-11-30"}},
    ]
    item = said(patient(telecom=entries))
    assert [phone.number[-4:] for phone in item.statements["phones"].value] == ["0101", "0102", "0103"]
    (ends,) = item.later
    assert (ends.attribute, ends.due) == ("phones", datetime(2026, 12, 1, tzinfo=UTC))
    assert [phone.number[-4:] for phone in ends.value] == ["0101"]
    (begins,) = said(patient(telecom=entries[:1])).later
    assert begins.value == item.statements["phones"].value[:1]


# Several records of one patient


def strict(kind: str, period: dict[str, str], name: str = "c1") -> PatientStatements:
    """As ``read_unconfirmed`` gives it where the most restrictive counts."""
    item = said(consent(provision={"type": kind, "period": period}, id=name), options=SMS)
    return item


def kept(item: Item) -> list[tuple[datetime, Any]] | None:
    return [(one.due, one.value) for one in item.later] if isinstance(item, PatientStatements) else None


def test_alone_a_record_only_refuses_later_where_the_most_restrictive_counts() -> None:
    deny, permit = strict("deny", DECEMBER), strict("permit", DECEMBER)
    midnight = datetime(2026, 12, 1, tzinfo=UTC)
    assert needs_confirmation(deny, "most_restrictive")
    assert needs_confirmation(permit, "most_restrictive")
    assert (kept(certain_only(deny, "most_restrictive")), kept(certain_only(permit, "most_restrictive"))) == ([(midnight, "denied")], None)
    assert not needs_confirmation(permit, "latest")


def test_what_another_record_refuses_now_or_later_is_not_permitted_later() -> None:
    permit, later = strict("permit", DECEMBER), strict("deny", {"start": "2026-12-15"}, "c2")
    now, other = strict("deny", {"start": "2020"}, "c2"), strict("permit", {"start": "2020"}, "c2")
    found = [kept(unless_refused(permit, [permit, one], "most_restrictive")) for one in (later, now, other)]
    assert found == [None, None, [(datetime(2026, 12, 1, tzinfo=UTC), "granted"), (datetime(2027, 1, 1, tzinfo=UTC), None)]]
    assert kept(unless_refused(strict("deny", DECEMBER), [now], "most_restrictive")) == [(datetime(2026, 12, 1, tzinfo=UTC), "denied")]


def test_of_a_period_that_ends_before_it_begins_only_a_refusal_counts() -> None:
    item = said(consent(provision={"type": "permit", "period": {"start": "2026-12", "end": "2026-10"}}), options=SMS)
    assert (item.statements, item.later, [one.reason for one in item.problems]) == ({}, (), ["period_unreadable"])


def test_received_at_the_very_end_it_still_counts() -> None:
    day = {"end": RECEIVED.date().isoformat()}
    assert seen(consent(provision={"type": "deny", "period": day}))[0] == {"consent.sms": "denied"}


def test_records_without_an_id_are_told_apart_and_know_their_own_end() -> None:
    one, other = (consent(provision={"type": kind, "period": DECEMBER}, id=None) for kind in ("deny", "permit"))
    named = [read(resource, options=SMS, **CHICAGO)[0].evidence_id for resource in (one, one | {"status": "inactive"}, other)]
    assert named[0] == named[1] != named[2]
    assert named[0].startswith("Consent/#")
