"""Every input is answered: no input makes a call or a page fail, on either database.

The calls, their fields and their parameters are read from the OpenAPI document and the routes, so that a new one is tried too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import chain
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from store.users.api_keys import KEY_ROLES
from store.web.api.openapi import OPEN_PATHS
from tests.spec.access import PAGES as WHO
from tests.spec.access import ROLES as OF_PEOPLE
from tests.store.web.conftest import LINE, NOW
from tests.store.web.odd_values import BODIES, IN_ADDRESS, JSON, TEXTS
from tests.store.web.pages.conftest import Pages, serve_pages
from tests.store.web.pages.test_routes import FORMS, Caller, routes

PARAMETER = re.compile(r"\{([^}]+)\}")
ROLES = tuple(map(str, KEY_ROLES))
IN_QUERY = ("source", "status", "page", "after", "line", "live", "limit", "again")
FEW = {name: TEXTS[name] for name in ("NUL inside", "before all time")}
FEW_ADDRESSES = {"NUL": IN_ADDRESS["NUL"]}
BASE: dict[str, dict[str, Any]] = {
    "/v1/decisions": {"patient": {"value": "MRN1"}, "message_type": "automation", "channels": ["sms"]},
    "/v1/patients/lookup": {"value": "MRN1"},
    "/v1/patients/{patient_id}/do-not-contact": {"value": "yes"},
    "/v1/patients/{patient_id}/sms-consent": {"line": LINE},
    "/v1/sms-replies": {"line": LINE, "from": "+12175550101", "body": "STOP"},
    "/v1/replies/{reply_id}/decide": {"decision": "opt_out"},
}
"""What is sent beside the odd value, so that it is looked at."""


@dataclass
class Wire:
    """A reused connection, and the failures on it."""

    port: int

    def __post_init__(self) -> None:
        self.connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        self.failed: list[tuple[str, str, str, int]] = []
        self.sent = 0

    def send(self, what: str, method: str, path: str, body: bytes | None = None, **headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            self.connection.request(method, path, body, named)
            response = self.connection.getresponse()
            answer = response.read()
        except OSError:
            self.connection.close()
            raise
        self.sent += 1
        if response.status >= 500:
            self.failed.append((what, method, path[:60], response.status))
        assert answer or response.status in (303, 304)
        return response.status


@pytest.fixture
def both(database_url: str) -> Iterator[Pages]:
    yield from serve_pages(database_url)


@pytest.fixture
def wire(both: Pages) -> Iterator[Wire]:
    opened = Wire(int(both.url.rpartition(":")[2]))
    yield opened
    opened.connection.close()


@dataclass(frozen=True)
class Operation:
    """A call as described in the OpenAPI document."""

    method: str
    path: str
    roles: tuple[str, ...]
    fields: tuple[str, ...]
    query: tuple[str, ...]


def operations(wire: Wire) -> list[Operation]:
    """Every call of the OpenAPI document."""
    wire.connection.request("GET", "/schema")
    document = json.loads(wire.connection.getresponse().read())
    components = document["components"]["schemas"]
    found = []
    for path, methods in document["paths"].items():
        for method, one in methods.items():
            content = one.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            fields = components[content["$ref"].rpartition("/")[2]]["properties"] if "$ref" in content else {}
            roles = tuple(one["description"].removeprefix("Roles: ").partition(".")[0].split(", "))
            query = tuple(parameter["name"] for parameter in one["parameters"] if parameter["in"] == "query")
            found.append(Operation(method.upper(), path, roles, tuple(fields), query))
    return found


def as_json(text: str) -> bytes:
    return json.dumps(text).encode()


def bodies(operation: Operation) -> Iterator[tuple[str, bytes]]:
    """A body for each field and odd value, and bodies that are odd as a whole."""
    values = {**{name: as_json(text) for name, text in TEXTS.items()}, **JSON}
    base = BASE.get(operation.path, {})
    for field in operation.fields:
        rest = b"".join(b"," + as_json(name) + b":" + json.dumps(value).encode() for name, value in base.items() if name != field)
        yield from ((f"{field}: {name}", b"{" + as_json(field) + b":" + value + rest + b"}") for name, value in values.items())
    yield from BODIES.items()


def nested() -> Iterator[tuple[str, bytes]]:
    """Decision requests with odd nested values."""
    values = {**{name: as_json(text) for name, text in TEXTS.items()}, **JSON}
    for name, value in values.items():
        for inside in (b'{"value":%s}', b'{"id":%s}', b'{"value":"MRN1","authority":%s}', b'{"value":"MRN1","type":%s}'):
            yield f"patient: {name}", b'{"patient":%s,"message_type":"automation","channels":["sms"]}' % (inside % value)
        appointment = b'{"preferred_phone":%s}' % value
        yield (
            f"phone: {name}",
            b'{"patient":{"value":"MRN1"},"message_type":"automation","channels":[%s],"appointment":%s}' % (value, appointment),
        )


def test_no_input_makes_a_call_fail(both: Pages, wire: Wire) -> None:
    keys = {role: both.keys.create(role, "general", role, NOW)[1] for role in ROLES}
    known = Caller(both, "operator", "general").ids
    for operation in operations(wire):
        role = next((role for role in ROLES if role in operation.roles), "sender")  # open ones need no key
        bearer = {"authorization": f"Bearer {keys[role]}"}
        path = PARAMETER.sub(lambda found: known.get(f"{found[1]}:str", "x"), operation.path)
        for what, odd in IN_ADDRESS.items() if "{" in operation.path else ():
            wire.send(what, operation.method, PARAMETER.sub(odd, operation.path), b"{}", **bearer)
        for name in operation.query:
            for what, odd in chain(((what, quote(text)) for what, text in TEXTS.items()), IN_ADDRESS.items()):
                wire.send(f"{name}={what}", operation.method, f"{path}?{name}={odd}", **bearer)
        for what, body in bodies(operation) if operation.method != "GET" else ():
            wire.send(what, operation.method, path, body, **bearer)
    sender = {"authorization": f"Bearer {keys['sender']}"}
    for what, body in nested():
        wire.send(what, "POST", "/v1/decisions", body, **sender)
        wire.send(what, "POST", "/v1/decisions/batch", b"[" + body + b"]", **sender)
        wire.send(what, "POST", "/v1/decisions/batch", body + b"\n" + body, content_type="application/x-ndjson", **sender)
    assert wire.sent > 500
    assert wire.failed == []


def test_no_input_makes_a_page_fail_in_any_role(both: Pages, wire: Wire) -> None:
    """Tries every value in the first role of a page, and in the other roles the values that fail most often."""
    tried = set()
    for role in OF_PEOPLE:
        caller = Caller(both, role, "general")
        browser = caller.signed_in()
        cookie = {"cookie": f"emr_sync_session={browser.client.cookies['emr_sync_session']}"}
        for method, path in (one for one, roles in WHO.items() if role in roles and one[1] not in ("/sign-out", "/password")):
            texts, addresses = (FEW, FEW_ADDRESSES) if (method, path) in tried else (TEXTS, IN_ADDRESS)
            tried.add((method, path))
            for what, where, form in odd_visits(method, path, caller.at(path), texts, addresses):
                body = urlencode({**form, "csrf": browser.token}).encode() if method == "POST" else None
                wire.send(what, method, where, body, **cookie)
    assert wire.failed == []


def odd_visits(
    method: str, path: str, where: str, texts: Mapping[str, str], addresses: Mapping[str, str]
) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """A page's address or form with one odd value each."""
    if "{" in path:
        yield from ((what, PARAMETER.sub(odd, path), {}) for what, odd in addresses.items())
    for what, text in texts.items():
        if method == "GET":
            yield what, f"{where}?{urlencode(dict.fromkeys(IN_QUERY, text))}", {}
        else:
            form = FORMS.get(path, {"value": ""})
            yield from ((f"{name}: {what}", where, {**form, name: text}) for name in form)


def test_no_input_makes_signing_in_fail(wire: Wire) -> None:
    for body in (b"name=%00&password=x", b"name=%ff&password=%fe", b"name=%ed%a0%80", b"\xff\xfe=1", b"name=" + b"9" * 9_000):
        assert wire.send("", "POST", "/sign-in", body) in (403, 422), body


def test_every_call_is_in_the_openapi_document(both: Pages, wire: Wire) -> None:
    """Ensures that the tests above cover every call."""
    found = {(one.method, one.path) for one in operations(wire) if one.path not in OPEN_PATHS}
    assert {(method, re.sub(r":\w+}", "}", path)) for method, path in routes(both) if path.startswith("/v1/")} == found
