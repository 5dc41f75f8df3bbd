from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from adapters.mapping import telecom

regions = st.sampled_from(["US", "CA", "PR", "GB", "DE", "AU", None])
written = st.text(alphabet="0123456789+ ()-.", max_size=20)
ten_digits = st.from_regex(r"\+?1?[ -]?\(?[0-9]{3}\)?[ .-]?[0-9]{3}[ .-]?[0-9]{4}", fullmatch=True)


@given(st.one_of(ten_digits, written), regions)
@example("(217)555-0123", "US")
@example("+12175550123", None)
def test_the_fast_path_agrees_with_the_library(raw: str, region: str | None) -> None:
    assert telecom.e164(raw, region) == telecom.by_library(raw, region)


@given(st.text(max_size=40), regions)
def test_any_text_gives_a_number_or_none(raw: str, region: str | None) -> None:
    number = telecom.e164(raw, region)
    assert number is None or (number.startswith("+") and number[1:].isdecimal() and telecom.e164(number, None) == number)


@given(st.text(max_size=60))
def test_any_text_gives_an_address_or_none(raw: str) -> None:
    address = telecom.email(raw)
    assert address is None or (address.count("@") == 1 and address in raw)
