from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from store.web.pages.masking import masked


def test_a_message_keeps_its_segments_and_separators() -> None:
    shown = masked(b"MSH|^~\\&|EMR\rPID|1||MRN1^^^CLINIC^MR||Invented^Person||19800101\r")
    assert shown == "MSH|^~\\&|•••\nPID|•||••••^^^••••••^••||••••••••^••••••||••••••••"


def test_a_resource_keeps_its_keys_and_its_type() -> None:
    shown = json.loads(masked(json.dumps({"resourceType": "Patient", "name": [{"family": "Invented"}], "active": True, "n": 7}).encode()))
    assert shown == {"resourceType": "Patient", "name": [{"family": "••••••••"}], "active": "••••", "n": "•"}


@given(st.binary(max_size=300))
def test_nothing_but_keys_and_segment_names_can_be_read_in_any_bytes(payload: bytes) -> None:
    try:
        json.loads(payload.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        rest = [line[3:] for line in masked(payload).split("\n")]
        assert not any(character.isalnum() for line in rest for character in line)
