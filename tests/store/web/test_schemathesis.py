"""Valid and invalid requests generated from the OpenAPI document, with every kind of key: responses match the document.

``EMR_SYNC_SCHEMATHESIS_EXAMPLES`` (2) is the number of requests for each call and mode.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from schemathesis import Case, GenerationMode, checks

from store.domain.lock import Grant
from store.web.api.openapi import OPEN_PATHS
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
KINDS_OF = {(method, re.sub(r":str}", "}", path)): sorted(call.keys) for (method, path), call in CALLS.items()}
KINDS_OF |= {(method.upper(), path): ["sender"] for path, methods in OPEN_PATHS.items() for method in methods}
"""The kinds of keys that a call is for. That the others are refused before anything is read is in test_access.py. Calls that need no key
are made with one of them.
"""


class Api:
    """The running service, its OpenAPI document, and a key of every kind."""

    def __init__(self, pages: Pages, session: requests.Session) -> None:
        self.pages, self.session = pages, session
        document = session.get(f"{pages.url}/schema", timeout=60).json()
        del document["security"]  # invalid keys are in test_access.py
        self.schema = schemathesis.openapi.from_dict(document)
        self.known = {name.removesuffix(":str"): one for name, one in Caller(pages, "operator", "general").ids.items()}
        self.tokens = {kind: self._token(kind) for kind in KEYS}
        self.counts: dict[str, Counter[int]] = {kind: Counter() for kind in KEYS}

    def _token(self, kind: str) -> str:
        grants = [Grant.PATIENTS] if kind == GRANTED else []
        return self.pages.keys.create(kind, "general", kind.partition(" ")[0], NOW, grants=grants)[1]

    def send(self, case: Case, kind: str) -> None:
        """Sends a request and compares the response with the document."""
        response = case.call(self.pages.url, session=self.session, headers={"authorization": f"Bearer {self.tokens[kind]}"}, timeout=60)
        self.counts[kind][response.status_code] += 1
        case.validate_response(response, checks=CHECKED)

    def ask(self, cases: SearchStrategy[Case], kind: str) -> None:
        """Sends a few requests with one kind of key, half of them about existing data."""

        @FEW
        @given(cases, st.booleans())
        def one(case: Case, there: bool) -> None:
            if there and case.path_parameters:
                case.path_parameters = {name: self.known.get(name, value) for name, value in case.path_parameters.items()}
            self.send(case, kind)

        one()


@pytest.fixture
def api(database_url: str) -> Iterator[Api]:
    for pages in serve_pages(database_url):
        with requests.Session() as session:
            yield Api(pages, session)


@pytest.mark.timeout(3_000)
def test_responses_match_the_openapi_document_for_every_kind_of_key(api: Api) -> None:
    tried = set()
    for result in api.schema.get_all_operations():
        operation = result.ok()
        call = operation.method.upper(), operation.path
        # any text is valid in a path, and any body is as far as the document tells of a webhook
        modes = GenerationMode if operation.body and operation.path not in OPEN_PATHS else (GenerationMode.POSITIVE,)
        for cases in [operation.as_strategy(generation_mode=mode) for mode in modes]:
            for kind in KINDS_OF[call]:
                api.ask(cases, kind)
        tried.add(call)
    assert tried == set(KINDS_OF)
    assert not [status for counts in api.counts.values() for status in counts if status >= 500]
    for kind, counts in api.counts.items():
        assert counts[200] > 0
        print(f"{kind}: {json.dumps(dict(sorted(counts.items())))}")
