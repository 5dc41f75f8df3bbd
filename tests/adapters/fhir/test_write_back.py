"""What the sink for Patients refuses to write back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.base import AdapterError
from adapters.fhir.decode import encode
from adapters.fhir.write_back import DenyingExtension, _resource, with_extension
from adapters.http.client import RawResponse

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
VALUES = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"


def read(meta: dict[str, Any]) -> dict[str, Any]:
    body = encode({"resourceType": "Patient", "id": "p1", "meta": {"versionId": "3"} | meta})
    return _resource(RawResponse(200, {}, body, "", NOW, NOW))


@pytest.mark.parametrize("code", ["SUBSETTED", "MASKED", "REDACTED"])
@pytest.mark.parametrize("element", ["tag", "security"])
def test_a_patient_of_whom_the_server_left_something_out_is_not_written_back(element: str, code: str) -> None:
    with pytest.raises(AdapterError, match="would delete") as caught:
        read({element: [{"system": VALUES, "code": code}]})
    assert caught.value.permanent


def test_a_whole_patient_is_written_back() -> None:
    assert read({"tag": [{"system": "https://rehearsal.example/tags", "code": "reviewed"}]})["id"] == "p1"


@pytest.mark.parametrize("number", ["1.10", "0.00", "100", "12345678901234567.125", "-3.140"])
def test_numbers_are_written_back_as_they_came(number: str) -> None:
    body = f'{{"resourceType":"Patient","id":"p1","meta":{{"versionId":"3"}},"extension":[{{"url":"u","valueDecimal":{number}}}]}}'
    patient = with_extension(_resource(RawResponse(200, {}, body.encode(), "", NOW, NOW)), DenyingExtension("x", "valueBoolean", False))
    assert f'"valueDecimal":{number}}}' in encode(patient).decode()
