from __future__ import annotations

from typing import Any

import pytest

from adapters.fhir.strict import deviations
from tests.adapters.fhir.made import patient


@pytest.mark.parametrize("release", ["R4", "R4B", "R5"])
def test_resource_as_specified_deviates_nowhere(release: str) -> None:
    assert not list(deviations(patient(active=True), release))


@pytest.mark.parametrize(
    ("elements", "path"),
    [
        ({"active": "perhaps"}, "Patient.active"),
        ({"nickname": "A"}, "Patient.nickname"),
        ({"telecom": [{"rank": "x"}]}, "Patient.telecom[0].rank"),
    ],
)
def test_deviation_is_named_by_place_and_never_by_value(elements: dict[str, Any], path: str) -> None:
    (found,) = deviations(patient(**elements))
    assert (found.reason, found.path) == ("not_as_specified", path)
    assert "perhaps" not in found.detail


def test_resource_type_that_the_release_does_not_have_is_one_deviation() -> None:
    (found,) = deviations({"resourceType": "Wish"})
    assert found.reason == "resource_type_unknown"
