"""The OpenAPI document: what tools need to make a client from it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from store.domain import reasons as why
from store.web.api.openapi_parts import EXAMPLES
from store.web.api.wire import BareAskIn, read
from tests.store.web.conftest import Service


@pytest.fixture
def document(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = service.call("GET", "/schema", role=None).json
    return found


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, one) for path, methods in document["paths"].items() for method, one in methods.items()]


def test_each_operation_has_an_id_of_its_own_and_a_tag(document: dict[str, Any]) -> None:
    found = [one for _, _, one in operations(document)]
    ids = [one["operationId"] for one in found]
    assert len(set(ids)) == len(ids) > 20
    assert all(one["tags"] for one in found)
    assert "post_decisions_batch" in ids


def test_each_operation_lists_its_errors_as_problem_details(document: dict[str, Any]) -> None:
    for path, method, one in operations(document):
        if one.get("security") != []:
            assert {"401", "403", "422", "503"} <= set(one["responses"]), (path, method)
    assert "410" in document["paths"]["/v1/changes"]["get"]["responses"]
    assert "423" in document["paths"]["/v1/patients/{patient_id}/do-not-contact"]["put"]["responses"]


def test_the_reasons_are_listed(document: dict[str, Any]) -> None:
    codes = document["components"]["schemas"]["Decision"]["properties"]["reasons"]["items"]["enum"]
    assert set(codes) == {*why.REFUSALS, *why.SKIPS, *why.NOTES}


def test_each_example_is_a_request_that_is_answered(document: dict[str, Any], service: Service) -> None:
    shown = [one for _, _, one in operations(document) if "example" in str(one.get("requestBody"))]
    assert len(shown) == len(EXAMPLES)
    for path in ("/v1/decisions", "/v1/decisions/batch"):
        assert service.call("POST", path, EXAMPLES[path]).status == 200
    bare = EXAMPLES["/v1/decisions"] | EXAMPLES["/v1/decisions"]["patient"]
    del bare["patient"]
    assert read(msgspec.json.encode(bare), BareAskIn).whole().patient.value == "MRN10001"
