"""Requests made from the document of the API, right ones and wrong ones, by every kind of key: the answers are what the document says.

``EMR_SYNC_SCHEMATHESIS_EXAMPLES`` (2) is how many are made of each call, each way.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode, checks
from schemathesis.schemas import BaseSchema

from store.lock import Grant
from tests.spec.access import CALLS, GRANTED, KEYS
from tests.store.web.conftest import NOW
from tests.store.web.pages.conftest import Pages, serve_pages
from tests.store.web.pages.test_routes import Caller

EXAMPLES = int(os.environ.get("EMR_SYNC_SCHEMATHESIS_EXAMPLES", "2"))
checks.load_all_checks()
CHECKED = [
    check
    for name, check in checks.CHECKS._items.items()
    if name in ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
]
FEW = settings(
    max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


@dataclass
class Api:
    """The running service and its document."""

    pages: Pages
    schema: BaseSchema
    known: Mapping[str, str]
    session: requests.Session = field(default_factory=requests.Session)
    counts: Counter[int] = field(default_factory=Counter)

    def send(self, case: Case, token: str) -> None:
        """Sends it and compares the answer with the document."""
        response = case.call(self.pages.url, session=self.session, headers={"authorization": f"Bearer {token}"}, timeout=60)
        self.counts[response.status_code] += 1
        case.validate_response(response, checks=CHECKED)


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    for pages in serve_pages(database_url):
        document = requests.get(f"{pages.url}/schema", timeout=60).json()
        del document["security"]  # keys that do not hold are in test_access.py
        ids = Caller(pages, "operator", "general").ids
        found = Api(pages, schemathesis.openapi.from_dict(document), {name.removesuffix(":str"): one for name, one in ids.items()})
        yield found
        found.session.close()


@pytest.mark.timeout(3_000)
@pytest.mark.parametrize("kind", KEYS)
def test_what_the_document_describes_is_what_is_answered(api: Api, kind: str) -> None:
    grants = [Grant.PATIENTS] if kind == GRANTED else []
    token = api.pages.keys.create(kind, "general", kind.partition(" ")[0], NOW, grants=grants)[1]
    tried = set()
    for result in api.schema.get_all_operations():
        operation = result.ok()
        call = operation.method.upper(), operation.path
        if call in allowed(kind):
            tried.add(call)
            for mode in GenerationMode if operation.body else (GenerationMode.POSITIVE,):  # any text is right in an address
                ask(api, operation.as_strategy(generation_mode=mode), token)
    assert tried == allowed(kind)
    assert not {status for status in api.counts if status >= 500}
    print(f"{kind}: {json.dumps(dict(sorted(api.counts.items())))}")


def allowed(kind: str) -> set[tuple[str, str]]:
    """The calls that this kind of key is for. That the others are refused before anything is read is in test_access.py."""
    return {(method, re.sub(r":str}", "}", path)) for (method, path), call in CALLS.items() if kind in call.keys}


def ask(api: Api, cases: Any, token: str) -> None:
    """A few requests of one kind, half of them about what is there."""

    @FEW
    @given(cases, st.booleans())
    def one(case: Case, there: bool) -> None:
        if there and case.path_parameters:
            case.path_parameters = {name: api.known.get(name, value) for name, value in case.path_parameters.items()}
        api.send(case, token)

    one()
