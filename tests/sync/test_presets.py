from __future__ import annotations

import pytest

from adapters.base import SourceSettings
from adapters.registry import build
from sync.config import presets

ANY = {
    "hl7v2": ("hl7v2.mllp", {"listen": "127.0.0.1:0"}),
    "fhir": ("fhir.rest", {"base_url": "https://ehr.example/r4"}),
}


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_is_well_and_its_rules_compile(name: str) -> None:
    preset = presets.preset(name)
    assert preset.name == name
    assert preset.sources, "name the public source of every field"
    adapter, options = ANY[preset.protocol]
    rules = {attribute: rule.model_dump(by_alias=True, exclude_none=True, exclude={"source"}) for attribute, rule in preset.mapping.items()}
    build(SourceSettings("site", adapter, mapping=rules, options=dict(preset.options) | options))


def test_a_preset_that_is_not_there_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        presets.preset("no-such-emr")
