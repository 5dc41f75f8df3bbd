"""XTN in all its forms. The numbers are from exchanges reserved for fiction."""

from __future__ import annotations

import pytest

from store.preference import PREFERRED_PHONE, Phone
from tests.adapters.hl7v2.messages import adt, stated


def phones(field: str, number: int = 13, **changes: str) -> tuple[Phone, ...]:
    item = stated(adt(**{f"f{number}": field}), **changes)
    assert item.problems == ()
    return item.statements[f"phones#PID-{number}"].value or ()


@pytest.mark.parametrize(
    "field",
    [
        "(217)555-0123",
        "(217)555-0123X22^PRN^PH",
        "^PRN^PH^^1^217^5550123",
        "^PRN^PH^^^217^555-0123^22",
        "^PRN^PH^^001^217^5550123",
        "^PRN^PH^^USA^217^5550123",
        "^PRN^PH^^^^2175550123",
        "^PRN^PH^^^^^^^^^(217) 555-0123",
        "(217)555-0100^PRN^PH^^^217^5550123",
        "(217)555-0100^PRN^PH^^^^^^^^^217-555-0123",
        "(217)555-0123^PRN^PH^^^217^12345",
    ],
)
def test_every_form_of_xtn_gives_the_number(field: str) -> None:
    assert [phone.number for phone in phones(field)] == ["+12175550123"]


def test_a_country_code_is_part_of_the_number() -> None:
    assert phones("^PRN^PH^^44^020^79460018")[0].number == "+442079460018"
    assert phones("^PRN^PH^^GB^020^79460018")[0].number == "+442079460018"
    assert phones("020 7946 0018", default_region="GB")[0].number == "+442079460018"


@pytest.mark.parametrize(
    ("number", "codes", "kind", "textable"),
    [
        (13, "", "home", False),
        (14, "", "work", False),
        (40, "", "other", False),
        (13, "^PRN^PH", "home", False),
        (13, "^WPN^PH", "work", False),
        (13, "^ORN^PH", "other", False),
        (13, "^PRS^PH", "cell", True),
        (13, "^PRN^CP", "cell", True),
        (14, "^WPN^CP", "cell", True),
        (14, "^^CP", "cell", True),
        (13, "^prs^cp", "cell", True),
        (14, "^HOME", "home", False),
        (13, "^LOCAL", "other", False),
    ],
)
def test_use_and_equipment_give_the_kind(number: int, codes: str, kind: str, textable: bool) -> None:
    (phone,) = phones(f"(217)555-0123{codes}", number)
    assert (phone.kind, phone.textable) == (kind, textable)


def test_a_mobile_number_by_its_numbering_plan_is_textable() -> None:
    assert phones("+447400123456^PRN^PH")[0] == Phone("+447400123456", "home", "+447400123456", None, True)


@pytest.mark.parametrize("codes", ["^PRN^FX", "^BPN^BP", "^WPN^FX", "^PRN^TDD", "^PRN^TTY", "^PRN^MD"])
def test_a_fax_or_pager_is_not_a_phone(codes: str) -> None:
    found = phones(f"(217)555-0199{codes}~(217)555-0123")
    assert [(phone.number, phone.kind) for phone in found] == [("+12175550123", "home"), ("+12175550199", "fax")]


def test_a_number_that_is_also_a_phone_is_no_fax() -> None:
    assert [phone.kind for phone in phones("(217)555-0123^PRN^FX~(217)555-0123^PRS^CP")] == ["cell"]


def test_a_fax_is_never_the_preferred_number() -> None:
    assert PREFERRED_PHONE not in stated(adt(f13="^PRN^FX^^1^217^5550199^^^^^^^^^^^1~^PRN^PH^^1^217^5550123")).statements


def test_beside_a_phone_that_cannot_be_used_a_fax_does_not_replace_the_list() -> None:
    assert "phones#PID-13" not in stated(adt(f13="see notes^PRN^PH~(217)555-0199^PRN^FX")).statements


@pytest.mark.parametrize(
    "field",
    [
        "^NET^Internet^pat@example.org",
        "^NET^INTERNET^pat@example.org",
        "pat@example.org^NET^Internet",
        "pat@example.org",
        "^^X.400^pat@example.org",
        "^NET^^mailto:pat@example.org",
    ],
)
def test_an_address_is_found_in_any_component(field: str) -> None:
    item = stated(adt(f13=f"{field}~(217)555-0123^PRN^PH"))
    assert item.statements["email#PID-13"].value == ("pat@example.org",)
    assert [phone.number for phone in item.statements["phones#PID-13"].value] == ["+12175550123"]


def test_a_number_and_an_address_in_one_repetition_are_both_kept() -> None:
    item = stated(adt(f13="(217)555-0123^PRN^PH^pat@example.org"))
    assert item.statements["email#PID-13"].value == ("pat@example.org",)
    assert item.statements["phones#PID-13"].value


def test_addresses_are_in_the_order_of_preference() -> None:
    first, second, third = (f"^NET^Internet^{name}@example.org" for name in "abc")
    item = stated(adt(f40=f"{first}~{second}^^^^^^^^^^^^^^2~{third}^^^^^^^^^^^^^^0"))
    assert item.statements["email#PID-40"].value == ("c@example.org", "b@example.org", "a@example.org")


def test_an_empty_first_repetition_is_not_a_number() -> None:
    item = stated(adt(f13="~(217)555-0123^ORN^PH"))
    assert [phone.kind for phone in item.statements["phones#PID-13"].value] == ["other"]


def test_a_number_that_has_ended_is_dropped_and_a_period_kept() -> None:
    found = phones("(217)555-0199^PRN^PH^^^^^^^^^^20200101^20210101~(217)555-0123^PRN^PH^^^^^^^^^^20200101^20991231")
    assert [(one.number, one.start, one.end) for one in found] == [("+12175550123", "2020-01-01", "2099-12-31")]


def test_a_list_with_only_ended_numbers_is_cleared() -> None:
    assert phones("(217)555-0199^PRN^PH^^^^^^^^^^20200101^20210101") == ()


def test_escapes_in_numbers_are_decoded() -> None:
    assert phones("(217)\\X35\\55-0123")[0].number == "+12175550123"


def test_a_cell_in_one_field_is_a_cell_in_all() -> None:
    item = stated(adt(f13="2175550123^PRN^PH~2175550124^PRN^PH", f40="2175550123^PRN^CP"))
    kinds = {one.number: (one.kind, one.textable) for one in item.statements["phones#PID-13"].value}
    assert kinds == {"+12175550123": ("cell", True), "+12175550124": ("home", False)}


def test_a_site_has_codes_remarks_and_placeholders_of_its_own() -> None:
    contact = {
        "use": {"zz": "cell", "PRN": "other"},
        "equipment": {"KX": "none"},
        "remarks": {"nur SMS": "no_calls", "Mutter": "nothing"},
        "placeholders": ["217-555-0199", "kein@*"],
    }
    field = "2175550120^ZZ~2175550121^PRN^PH~2175550122^^KX~2175550123 nur SMS~2175550124 Mutter~(217) 555-0199~^NET^^kein@example.org"
    item = stated(adt(f13=field), contact=contact)
    kinds = [(one.number, one.kind) for one in item.statements["phones#PID-13"].value]
    by_kind = [("+12175550120", "cell"), ("+12175550121", "other"), ("+12175550123", "home"), ("+12175550124", "home")]
    assert kinds == [*by_kind, ("+12175550122", "fax")]
    assert item.statements["consent.voice#+12175550123"].value == "denied"
    assert [one.reason for one in item.problems] == ["phone_refused", "phone_placeholder", "email_placeholder"]


def test_codes_of_a_site_change_the_fingerprint_of_its_mapping() -> None:
    assert stated(adt()).mapping == stated(adt(), contact={}, languages={}).mapping
    assert stated(adt()).mapping != stated(adt(), contact={"use": {"ZZ": "cell"}}).mapping


@pytest.mark.parametrize("field", ["see notes^PRN^CP", "9999999999", "^NET^Internet^none@none.com", "see notes~^NET^^nobody"])
def test_unusable_entries_clear_nothing(field: str) -> None:
    assert stated(adt(f13=field)).statements == {}


def test_an_unusable_address_clears_no_addresses_and_numbers_are_stated() -> None:
    item = stated(adt(f13="2175550123^PRN^PH~^NET^Internet^none@none.com"))
    assert set(item.statements) == {"phones#PID-13"}


def test_a_refusal_at_an_unusable_number_makes_the_consent_unreadable() -> None:
    problems = stated(adt(f13="do not call^PRN^PH")).problems
    assert [(one.reason, one.attribute) for one in problems] == [("phone_unusable", "phones"), ("phone_refused", "consent.voice")]


def test_a_refusing_remark_overrides_a_grant_at_the_number() -> None:
    rule = {"consent.voice#*": {"from": "PID-13.10", "values": {"Y": "granted"}}}
    item = stated(adt(f13="2175550123^PRN^PH^^^^^^do not call^Y"), mapping=rule)
    assert item.statements["consent.voice#+12175550123"].value == "denied"


def test_an_address_counts_in_its_period_and_future_changes_are_listed() -> None:
    item = stated(adt(f13="^NET^Internet^old@example.org^^^^^^^^^20200101^20261130~^NET^Internet^new@example.org^^^^^^^^^20261201"))
    assert item.statements["email#PID-13"].value == ("old@example.org",)
    ahead = {(one.attribute, one.due.date().isoformat(), one.value) for one in item.later}
    assert ahead == {("email#PID-13", "2026-12-01", ("new@example.org",))}


def test_a_future_period_of_a_number_lists_its_start_and_end() -> None:
    item = stated(adt(f13="2175550123^PRN^PH^^^^^^^^^^20261201^20261231"))
    ahead = [(one.attribute, one.due.date().isoformat(), [phone.number for phone in one.value or ()]) for one in item.later]
    assert ahead == [("phones#PID-13", "2026-12-01", ["+12175550123"]), ("phones#PID-13", "2027-01-01", [])]


@pytest.mark.parametrize("end", ["20991231", "99991231", "29991231"])
def test_a_distant_end_is_not_listed(end: str) -> None:
    assert stated(adt(f13=f"2175550123^PRN^PH^^^^^^^^^^20200101^{end}")).later == ()


def test_a_wrong_number_in_one_field_is_removed_from_all() -> None:
    item = stated(adt(f13="2175550123^PRN^PH^^^^^^wrong number", f40="2175550123^PRN^CP~2175550124^PRN^CP"))
    assert item.statements["phones#PID-13"].value is None
    assert [one.number for one in item.statements["phones#PID-40"].value] == ["+12175550124"]


def test_a_refusal_at_several_numbers_in_one_repetition_is_a_problem_of_the_consent() -> None:
    rule = {"consent.sms#*": {"from": "PID-13.10", "values": {"N": "denied", "Y": "granted"}}}
    item = stated(adt(f13="2175550123/2175550124^PRN^CP^^^^^^^N"), mapping=rule)
    assert [one.attribute for one in item.problems] == ["consent.sms"]


@pytest.mark.parametrize("field", ["^PRN^PH^^^217^ ", "^^^^^^/", " ^PRN", "^PRN^PH^^^^;;", "^NET^^@", "^PRN^PH^^840^^", "^PRN^PH^^^^+"])
def test_every_field_can_be_read(field: str) -> None:
    assert "phones#PID-13" not in stated(adt(f13=field)).statements or stated(adt(f13=field)).statements["phones#PID-13"].value is None
