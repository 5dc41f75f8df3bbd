"""Any input is read as a request or answered with a problem, and never quoted."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from store.web.api.decisions import read_array, read_item
from store.web.api.wire import AskIn, InvalidAsk, SmsConsentIn, SmsReplyIn, read
from store.web.http.problem import ProblemDetails

GOOD: dict[str, Any] = {
    "patient": {"authority": "GENHOSP", "value": "MRN1"},
    "message_type": "automation",
    "channels": ["sms"],
    "line": "+12175550190",
    "topic": "recall",
    "appointment": {"preferred_method": "sms", "preferred_phone": "+12175550101"},
    "at": "2026-11-02T10:00:00Z",
}
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.binary(max_size=60))
def test_any_bytes_get_a_response(body: bytes) -> None:
    assert isinstance(read_item(body), InvalidAsk)


@given(st.sampled_from(sorted(GOOD)), plain)
def test_any_value_of_any_field_is_a_request_or_a_problem(name: str, value: Any) -> None:
    item = read_item(json.dumps({**GOOD, name: value}).encode())
    assert isinstance(item, AskIn) or item.reasons == ("ask_invalid",)


@given(st.sampled_from(sorted(GOOD)), st.text("QXZJ", min_size=5, max_size=12))
def test_the_request_is_never_quoted(name: str, value: str) -> None:
    for wrong in (value, [value], {"value": value}):
        item = read_item(json.dumps({**GOOD, name: wrong}).encode())
        assert isinstance(item, AskIn) or value not in item.detail


@given(plain, st.sampled_from([AskIn, SmsReplyIn, SmsConsentIn, list[AskIn]]))
def test_any_json_is_a_value_or_a_problem(value: Any, kind: Any) -> None:
    with suppress(ProblemDetails):
        read(json.dumps(value).encode(), kind)


@given(st.lists(plain | st.just(GOOD), max_size=5))
def test_an_array_keeps_its_length_and_order(items: list[Any]) -> None:
    found = read_array(json.dumps(items).encode())
    assert [isinstance(one, AskIn) for one in found] == [item == GOOD for item in items]
