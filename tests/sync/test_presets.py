from __future__ import annotations

import pytest

from sync.config import presets
from sync.config.model import ContactPart, PresetPart


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_is_valid_and_names_its_public_sources(name: str) -> None:
    preset = presets.preset(name)
    assert preset.name == name
    assert preset.sources, "the header must name the public source of every field"
    assert preset.promises, "the header must list the attributes of its records"


def test_a_missing_preset_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        presets.preset("no-such-emr")


def test_a_presets_own_codes_hold_below_those_of_the_site() -> None:
    codes = {"use": {"ZM": "cell", "ZF": "none"}, "placeholders": ["none@*"]}
    preset = PresetPart(
        name="n", title="t", protocol="hl7v2", sources=[], promises=[], contact=ContactPart(**codes), languages={"K": "ksw", "E": "en"}
    )
    site = ContactPart(use={"ZF": "home"}, remarks={"ask": "noted"}, placeholders=["0*"])
    assert presets.contact_under(preset, site) == {
        "use": {"ZM": "cell", "ZF": "home"},
        "remarks": {"ask": "noted"},
        "placeholders": ["none@*", "0*"],
    }
    assert presets.languages_under(preset, {"E": "es"}) == {"K": "ksw", "E": "es"}
    assert (presets.contact_under(None, ContactPart()), presets.languages_under(None, {})) == ({}, {})
