"""Languages as BCP-47 tags."""

from __future__ import annotations

import pytest

from adapters.mapping import language


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
        ("E", "en"),
        ("SPN", "es"),
        ("MAN", "zh"),
        ("CAN", "yue"),
        ("ASL", "ase"),
        ("chi", "zh"),
        ("zho", "zh"),
        ("alb", "sq"),
        ("sqi", "sq"),
        ("hmn", "hmn"),
        ("KAR", "kar"),
        ("ksw", "ksw"),
        ("Nepali", "ne"),
        ("Swahili", "sw"),
        ("Karen", "kar"),
        ("Somali", "so"),
        ("Vietnamese", "vi"),
        ("Creole - Haitian", "ht"),
        ("Portuguese (Brazil)", "pt-BR"),
    ],
)
def test_codes_tags_and_names_become_bcp47(code: str, tag: str) -> None:
    assert language.bcp47(code) == tag


NO_LANGUAGES = ["", "und", "unk", "UNK", "Unknown", "Declined", "zxx", "mul", "Other", "xyz", "1", "qaa", "x-own", "not a language"]
MADE_UP = ["abc", "eee", "zz", "Qx"]
"""Proprietary codes that are codes of unrelated ISO 639-3 languages, or of none."""


@pytest.mark.parametrize("code", [*NO_LANGUAGES, *MADE_UP])
def test_texts_that_are_not_languages_give_none(code: str) -> None:
    assert language.bcp47(code) is None


@pytest.mark.parametrize("text", ["Declined to specify", "unknown", "Patient refused", "UND", "unk", "not asked"])
def test_a_declined_language_is_distinguished_from_an_unknown_code(text: str) -> None:
    assert language.is_declined(text)


def test_an_unknown_code_is_not_declined() -> None:
    assert not language.is_declined("1")
    assert not language.is_declined("Klingonese")


@pytest.mark.parametrize(
    ("code", "text", "system", "tag"),
    [
        ("CRE", "Haitian Creole", "", "ht"),
        ("cre", "Cree", "ISO639-2", "cr"),
        ("cre", "", "", "cr"),
        ("ASL", "American Sign Language", "", "ase"),
        ("CH", "Chinese", "HL70296", "zh"),
        ("ch", "Chamorro", "urn:ietf:bcp:47", "ch"),
        ("12", "Somali", "L", "so"),
        ("OTH", "Nepali", "", "ne"),
        ("en", "Ingl\u00e9s", "", "en"),
        ("eee", "", "", None),
        ("eee", "E", "", "en"),
        ("abc", "", "ISO639-3", "abc"),
    ],
)
def test_the_text_takes_precedence_over_a_nonstandard_code(code: str, text: str, system: str, tag: str | None) -> None:
    assert language.STANDARD.coded(code, text, system) == tag


def test_a_site_has_codes_and_names_of_its_own() -> None:
    own = language.Languages({"KRN": "ksw", "Lengua": "es", "CRE": "ht"})
    assert [own.tag(one) for one in ("krn", "LENGUA", "CRE", "en")] == ["ksw", "es", "ht", "en"]
    assert own.coded("CRE", "Cree", "ISO639-2") == "ht"


def test_a_site_maps_to_tags_only() -> None:
    with pytest.raises(ValueError, match=r"languages\.KRN is 'karenish'"):
        language.Languages({"KRN": "karenish"})


def test_every_code_and_name_of_the_tables_is_a_language() -> None:
    tables = language.table("languages")
    listed = [*tables["iso_639_2"].split(), *tables["iso_639_3"].split()]
    assert [code for code in listed if language.bcp47(code) is None and code not in language.NO_LANGUAGE] == []
    named = {**tables["codes"], **tables["names"]}
    assert {text: tag for text, tag in named.items() if language.bcp47(text) != tag} == {}
