from __future__ import annotations

import pytest

from adapters import language


@pytest.mark.parametrize(
    ("code", "tag"),
    [
        ("en", "en"),
        ("ENG", "en"),
        ("ger", "de"),
        ("deu", "de"),
        ("fre", "fr"),
        ("HAT", "ht"),
        ("en_US", "en-US"),
        ("zh-hans", "zh-Hans"),
        ("English", "en"),
        ("SPANISH", "es"),
        ("Spanish; Castilian", "es"),
        ("Haitian Creole", "ht"),
        ("Farsi", "fa"),
        ("American Sign Language", "ase"),
        ("sgn", "sgn"),
    ],
)
def test_codes_tags_and_names_become_bcp47(code: str, tag: str) -> None:
    assert language.bcp47(code) == tag


@pytest.mark.parametrize(
    "code", ["", "und", "unk", "UNK", "Unknown", "Declined", "zxx", "mul", "Other", "xyz", "1", "qaa", "x-own", "not a language"]
)
def test_what_names_no_language_is_none(code: str) -> None:
    assert language.bcp47(code) is None


@pytest.mark.parametrize("text", ["Declined to specify", "unknown", "Patient refused", "UND", "unk", "not asked"])
def test_a_declined_language_is_told_from_an_unknown_code(text: str) -> None:
    assert language.is_declined(text)


def test_a_code_that_we_do_not_know_is_not_declined() -> None:
    assert not language.is_declined("1")
    assert not language.is_declined("Klingonese")
