"""Payloads of the same instant: the higher version, else the refusal; what refuses nothing, by the later receipt."""

from __future__ import annotations

from dataclasses import replace

import pytest

from store import times
from store.domain import documents
from store.domain.duplicates import KEPT
from store.preference import PatientStatements
from tests.store.site import Site, at, merges, says

YES, NO = {"do_not_contact": "yes"}, {"do_not_contact": "no"}


def test_at_the_same_second_the_refusal_counts_whichever_was_received_later(site: Site) -> None:
    site.apply(says("1", 1, YES, evidence="A"), says("2", 1, NO, evidence="A"))
    assert site.apply(says("1", 1, NO, evidence="B"), says("2", 1, YES, evidence="B")) == ["stale", "applied"]
    assert (site.dnc("1"), site.dnc("2")) == ("yes", "yes")


def test_at_the_same_second_the_later_receipt_counts_for_what_refuses_nothing(site: Site) -> None:
    site.apply(says("1", 1, {"language": "en"}, evidence="A"))
    assert site.apply(says("1", 1, {"language": "es"}, evidence="B")) == ["applied"]
    assert site.value("1", "language") == "es"


def test_each_attribute_is_compared_with_its_own_evidence(site: Site) -> None:
    site.apply(says("1", 1, {"consent.voice": "granted", "language": "en", "email": ("a@x.example",)}))
    site.apply(says("1", 9, {"consent.email": "granted", "language": "es"}), says("1", 3, {"consent.voice": "denied"}))
    between = {"consent.email": "denied", "consent.voice": "granted", "email": ("b@x.example",), "language": "fr"}
    assert site.apply(says("1", 5, between)) == ["applied"]
    names = ("consent.email", "consent.voice", "email", "language")
    assert [site.value("1", name) for name in names] == ["granted", "granted", ("b@x.example",), "es"]


def test_versions_and_times_of_one_record_order_each_attribute_by_itself(site: Site) -> None:
    """One payload after two versions of a record: it is newer than the one and older than the other."""
    record = "Patient/1/_history/{}"
    site.apply(says("1", 5, {"language": "en", "active": True}, evidence=record.format(2), version=2), source="fhir")
    site.apply(says("1", 5, {"language": "es"}, evidence=record.format(4), version=4), source="fhir")
    late = says("1", 5, {"active": False, "language": "fr", "display_name": "Bo"}, evidence=record.format(3), version=3)
    assert site.apply(late, source="fhir") == ["applied"]
    assert [site.value("1", name) for name in ("active", "language", "display_name")] == [False, "es", "Bo"]


def test_at_the_same_second_the_higher_version_counts(site: Site) -> None:
    site.apply(says("1", 1, YES, evidence="p/3", version=3))
    assert site.apply(says("1", 1, NO, evidence="p/2", version=2)) == ["stale"]
    assert site.dnc("1") == "yes"
    assert site.apply(says("1", 1, NO, evidence="p/10", version=10)) == ["applied"]
    assert site.dnc("1") == "no"


@pytest.mark.parametrize(("first", "second"), [((0, 86_399), (0, 86_399)), ((0, 86_399), (5, 5)), ((5, 5), (0, 86_399))])
def test_a_higher_version_of_another_kind_of_time_decides_nothing(site: Site, first: tuple[int, int], second: tuple[int, int]) -> None:
    """PID-33 breaks ties of one second; of coarse times the refusal counts."""
    for number, ((begin, end), said) in enumerate(((first, YES), (second, NO))):
        item = says("1", begin, said, evidence=f"p/{number}", version=number + 1)
        site.apply(replace(item, effective=times.Time(at(begin), at(end))))
    assert site.dnc("1") == "yes"


@pytest.mark.parametrize("survivor", ["1", "2"])
def test_of_two_records_that_refuse_and_are_one_the_refusal_is_as_late_as_either_may_be(site: Site, survivor: str) -> None:
    site.apply(replace(says("1", 0, YES), effective=times.Time(at(0), at(60))), says("2", 58, YES))
    site.apply(merges(survivor, "2" if survivor == "1" else "1", -100))
    site.apply(says("1", 60, {"do_not_contact": None}))
    assert site.dnc("1") == "yes"
    site.apply(says("1", 61, {"do_not_contact": None}))
    assert site.dnc("1") == "unknown"


def test_a_lower_version_with_a_later_time_comes_from_a_server_that_counts_anew_and_the_refusal_counts(site: Site) -> None:
    """Of one FHIR resource. Nobody can tell whether the server was set back or the lower version is late."""
    site.apply(
        says("1", 10, YES, evidence="Patient/1/_history/9", version=9), says("1", 20, NO, evidence="Patient/1/_history/2", version=2)
    )
    site.apply(
        says("2", 10, NO, evidence="Patient/2/_history/9", version=9), says("2", 20, YES, evidence="Patient/2/_history/2", version=2)
    )
    assert (site.dnc("1"), site.dnc("2")) == ("yes", "yes")


def test_a_higher_version_counts_whatever_the_times_say(site: Site) -> None:
    site.apply(
        says("1", 20, YES, evidence="Patient/1/_history/1", version=1), says("1", 10, NO, evidence="Patient/1/_history/2", version=2)
    )
    assert site.dnc("1") == "no"


def test_at_the_same_second_no_method_at_all_counts_whichever_was_received_later(site: Site) -> None:
    none, sms = {"preferred_method": "none"}, {"preferred_method": "sms"}
    site.apply(says("1", 1, none, evidence="A"), says("2", 1, sms, evidence="A"))
    site.apply(says("1", 1, sms, evidence="B"), says("2", 1, none, evidence="B"))
    assert (site.value("1", "preferred_method"), site.value("2", "preferred_method")) == ("none", "none")


def test_a_version_that_says_the_same_still_counts_as_the_newest(site: Site) -> None:
    site.apply(says("1", 1, YES, evidence="p/1", version=1))
    site.apply(says("1", 1, YES, evidence="p/3", version=3))
    assert site.apply(says("1", 1, NO, evidence="p/2", version=2)) == ["stale"]
    assert site.dnc("1") == "yes"


def test_a_later_version_that_says_the_same_again_counts_at_its_own_time(site: Site) -> None:
    site.apply(says("1", 1, YES, evidence="p/1", version=1))
    site.apply(says("1", 5, YES, evidence="p/7", version=7))
    assert site.apply(says("1", 5, NO, evidence="p/6", version=6)) == ["stale"]
    assert site.dnc("1") == "yes"


def test_a_repeat_of_an_earlier_message_of_the_same_second_never_loosens(site: Site) -> None:
    permitting, strict = says("1", 1, NO, evidence="A"), says("1", 1, YES, evidence="B")
    site.apply(permitting, strict)
    assert site.apply(permitting) == ["unchanged"]
    assert site.dnc("1") == "yes"


def test_a_repeat_never_loosens_when_both_came_in_one_batch_again(site: Site) -> None:
    permitting, strict = says("1", 1, NO, evidence="A"), says("1", 1, YES, evidence="B")
    site.apply(permitting, strict, permitting, strict, permitting)
    assert site.dnc("1") == "yes"


def test_a_message_that_was_heard_again_unchanged_is_a_repeat_the_next_time(site: Site) -> None:
    site.apply(says("1", 1, NO, evidence="A"))
    site.apply(says("1", 1, NO, evidence="B"))
    site.apply(says("1", 1, YES, evidence="C"))
    for evidence in "AB":
        assert site.apply(says("1", 1, NO, evidence=evidence)) == ["unchanged"]
    assert site.dnc("1") == "yes"


def test_more_messages_of_one_instant_than_are_remembered_can_only_restrict(site: Site) -> None:
    first = says("1", 1, NO, evidence="first")
    site.apply(first, *(says("1", 1, {"consent.sms": "denied"}, evidence=f"E{count}") for count in range(KEPT + 5)))
    site.apply(says("1", 1, YES, evidence="no more"))
    assert site.apply(first) == ["stale"]
    assert site.dnc("1") == "yes"


def test_more_messages_of_one_instant_than_are_remembered_still_restrict(site: Site) -> None:
    site.apply(*(says("1", 1, NO, evidence=f"E{count}") for count in range(KEPT + 5)))
    site.apply(says("1", 1, YES, evidence="no more"))
    assert site.dnc("1") == "yes"


def test_a_tie_with_a_time_that_has_passed_only_restricts(site: Site) -> None:
    site.apply(says("1", 1, YES, evidence="A"))
    site.apply(says("1", 2, {"language": "es"}, evidence="B"))
    assert site.apply(says("1", 1, NO, evidence="C")) == ["stale"]
    assert site.dnc("1") == "yes"


def test_a_late_restriction_of_the_same_old_second_counts(site: Site) -> None:
    site.apply(says("1", 1, NO, evidence="A"))
    site.apply(says("1", 2, {"language": "es"}, evidence="B"))
    assert site.apply(says("1", 1, YES, evidence="C")) == ["applied"]
    assert site.dnc("1") == "yes"


def test_a_late_denial_of_the_same_old_second_counts(site: Site) -> None:
    site.apply(says("1", 1, {"consent.sms": "granted"}, evidence="A"))
    site.apply(says("1", 2, {"language": "es"}, evidence="B"))
    site.apply(says("1", 1, {"consent.sms": "denied"}, evidence="C"))
    assert site.value("1", "consent.sms") == "denied"


def test_another_message_with_the_same_control_id_does_not_permit_by_another_mapping(site: Site) -> None:
    """Only the very same payload is read again by a changed mapping (product rule 5.8); two messages of one time tie."""
    site.apply(replace(says("1", 5, YES, evidence="M"), content="first", mapping="m1"))
    site.apply(replace(says("1", 5, NO, evidence="M"), content="other", mapping="m2"))
    assert site.dnc("1") == "yes"
    site.apply(replace(says("1", 5, NO, evidence="M"), content="first", mapping="m2"))
    assert site.dnc("1") == "no"


def test_a_message_sent_again_under_another_control_id_does_not_loosen(site: Site) -> None:
    site.apply(says("1", 1, NO, evidence="A"))
    site.apply(says("1", 1, YES, evidence="B"))
    assert site.apply(says("1", 1, NO, evidence="A resent")) == ["stale"]
    assert site.dnc("1") == "yes"


def test_an_earlier_message_of_the_same_second_does_not_loosen_when_it_is_mapped_anew(site: Site) -> None:
    site.apply(says("1", 1, NO, evidence="A"))
    site.apply(says("1", 1, YES, evidence="B"))
    site.apply(says("1", 1, {**NO, "language": "es"}, evidence="A"))
    assert (site.dnc("1"), site.value("1", "language")) == ("yes", "es")


def test_many_older_messages_do_not_make_the_store_forget_those_of_the_newest_second(site: Site) -> None:
    permitting = says("1", 5_000, NO, evidence="A")
    site.apply(permitting, says("1", 5_000, YES, evidence="B"))
    site.apply(*(says("1", second, NO) for second in range(2 * KEPT)))
    assert site.apply(permitting) == ["unchanged"]
    assert site.dnc("1") == "yes"


def test_versions_of_two_consents_do_not_compare_so_the_refusal_counts(site: Site) -> None:
    denied, granted = {"consent.sms": "denied"}, {"consent.sms": "granted"}
    site.apply(says("1", 1, denied, evidence="Consent/a/_history/1", version=1))
    site.apply(says("1", 1, granted, evidence="Consent/b/_history/9", version=9))
    site.apply(says("2", 1, granted, evidence="Consent/c/_history/9", version=9))
    site.apply(says("2", 1, denied, evidence="Consent/d/_history/1", version=1))
    assert [site.value(one, "consent.sms") for one in ("1", "2")] == ["denied", "denied"]


# Without a time, or with the same one: A, B, A


def undated(said: dict[str, str], evidence: str, received: float) -> PatientStatements:
    """A payload that does not say when it was stated: its file was written then, or it came then."""
    return replace(says("1", 0, said, evidence=evidence), effective=times.unknown(at(received)), content=documents.digest((), said))


EN, ES = {"language": "en"}, {"language": "es"}
DENIED, GRANTED = {"consent.sms": "denied"}, {"consent.sms": "granted"}


def test_the_same_content_under_another_control_id_is_no_repeat(site: Site) -> None:
    site.apply(undated(EN, "A", 1), undated(ES, "B", 2), undated(EN, "C", 3))
    assert site.value("1", "language") == "en"
    site.apply(says("2", 1, EN, evidence="A"), says("2", 1, ES, evidence="B"), says("2", 1, EN, evidence="C"))
    assert site.value("2", "language") == "en"


def test_the_same_content_under_the_same_control_id_is_a_repeat_whenever_it_comes(site: Site) -> None:
    site.apply(undated(EN, "A", 1), undated(ES, "B", 2))
    assert site.apply(undated(EN, "A", 3)) == ["unchanged"]
    assert site.value("1", "language") == "es"


def test_a_resource_without_version_and_time_in_a_later_file_counts_and_the_same_file_again_does_not(site: Site) -> None:
    site.apply(undated(EN, "Patient/1", 1), undated(ES, "Patient/1", 2), undated(EN, "Patient/1", 3))
    assert site.value("1", "language") == "en"
    assert site.apply(undated(ES, "Patient/1", 2)) == ["unchanged"]
    assert site.value("1", "language") == "en"


@pytest.mark.parametrize("evidence", [("Patient/1", "Patient/1", "Patient/1"), ("A", "B", "C")])
@pytest.mark.parametrize("order", [(DENIED, GRANTED, DENIED), (GRANTED, DENIED, GRANTED)])
def test_without_a_time_the_refusal_counts_in_every_order(site: Site, order: tuple[dict[str, str], ...], evidence: tuple[str, ...]) -> None:
    site.apply(*(undated(said, name, second) for second, (said, name) in enumerate(zip(order, evidence, strict=True), 1)))
    assert site.value("1", "consent.sms") == "denied"


def test_a_refusal_in_a_file_that_is_newer_than_a_dated_permission_is_no_repeat_of_one_before_it(site: Site) -> None:
    site.apply(undated(DENIED, "Patient/1", 1), says("1", 2, GRANTED, evidence="Patient/1"))
    assert site.value("1", "consent.sms") == "granted"
    site.apply(undated(DENIED, "Patient/1", 3))
    assert site.value("1", "consent.sms") == "denied"


def test_however_many_messages_came_without_a_time_the_next_counts(site: Site) -> None:
    site.apply(*(undated({"language": "en", "display_name": f"N{count}"}, f"E{count}", count) for count in range(KEPT + 5)))
    site.apply(undated(ES, "next", 100))
    assert site.value("1", "language") == "es"
