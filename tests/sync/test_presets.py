from __future__ import annotations

import pytest

from sync.config import presets


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_is_valid_and_names_its_public_sources(name: str) -> None:
    preset = presets.preset(name)
    assert preset.name == name
    assert preset.sources, "the header must name the public source of every field"
    assert preset.promises, "the header must list the attributes of its records"


def test_a_missing_preset_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        presets.preset("no-such-emr")
