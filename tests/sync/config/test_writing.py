from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sync.config.document import read
from sync.config.writing import inline, scalar

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.from_regex(r"[-:#?{}\[\]a-z0-9./+ ]{0,12}", fullmatch=True)


@given(st.recursive(texts, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6))
def test_what_is_written_is_read_as_it_was(value: object) -> None:
    assert read(f"written: {inline(value)}\n").data == {"written": value}


@given(texts)
def test_a_text_is_a_key_and_a_value_on_a_line_of_its_own(text: str) -> None:
    assert read(f"{scalar(text)}: {scalar(text)}\n").data == {text: text}


def test_codes_and_words_stay_plain() -> None:
    assert inline({"values": {"02": "yes", "no": "denied", "A B": "no"}}) == '{values: {02: yes, no: denied, "A B": no}}'
