from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.web.pages.masking import masked

READABLE = re.compile(r"[^\W_]")


def test_a_message_keeps_its_segments_and_separators() -> None:
    shown = masked(b"MSH|^~\\&|EMR\rPID|1||MRN1^^^CLINIC^MR||Invented^Person||19800101\r")
    assert shown == "MSH|^~\\&|•••\nPID|•||••••^^^••••••^••||••••••••^••••••||••••••••"


def test_a_resource_keeps_its_keys_and_its_type() -> None:
    shown = json.loads(masked(json.dumps({"resourceType": "Patient", "name": [{"family": "Invented"}], "active": True, "n": 7}).encode()))
    assert shown == {"resourceType": "Patient", "name": [{"family": "••••••••"}], "active": "••••", "n": "•"}


def test_json_keeps_only_known_keys_and_types_and_masks_every_value() -> None:
    odd = {
        "MRN10001": 1, "MRN10002": 2, "Invented Person": [], "patient/7": None, "resourceType": "Invented",
        "birthDate": "\u0968\u0966\u093e",
        "name": {"resourceType": ["Patient"]}, "n": 1e999, "text": "\ud800 \U0001f600 e\u0301 \x1c \u00bd",
    }  # fmt: skip
    shown = masked(json.dumps(odd).encode())
    assert not READABLE.search(re.sub(r'"_?[a-z][A-Za-z_]*[0-9]?":|null| \(\d+\)":', "", shown))
    assert len(json.loads(shown)) == len(odd)


def test_a_name_that_looks_like_a_segment_is_masked() -> None:
    shown = masked(b"MSH|^~\\&|EMR\rLEE, ANN\rDOE|JANE\rZOE JANE\rPID|1\rZCP|DNC\r")
    assert shown.splitlines()[1:] == ["•••, •••", "•••|••••", "••• ••••", "PID|•", "ZCP|•••"]


@pytest.mark.parametrize(
    "character", ["\u0e34", "\u093e", "\u0301", "\u200d", "\U0001f600", "\u2460", "\ue000", "\x0b", "\x1c", "\u2028", "\u00e9"]
)
def test_only_plain_punctuation_stays_unmasked(character: str) -> None:
    assert masked(f"PID|{character}|".encode()) == "PID|•|"


def test_a_malformed_payload_is_displayed() -> None:
    for payload in (b"", b"null", b"[" * 100_000, b"9" * 10_000, b'"\\ud800"', b"\xff\xfe", b'{"a":1,"a":2}', b"NaN", b"\0"):
        masked(payload).encode()


@given(st.binary(max_size=300))
def test_only_keys_and_segment_names_stay_readable_in_any_bytes(payload: bytes) -> None:
    try:
        json.loads(payload.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        rest = [line[3:] for line in masked(payload).split("\n")]
        assert not any(character.isalnum() for line in rest for character in line)
