"""Every call and every page with every kind of key and session, for its own and another enterprise: the table in tests/spec/access.py.

The routes are those of the application: one without an entry in the table fails.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from datetime import timedelta
from http.client import HTTPConnection
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from store.db.tables import Table
from store.domain.lock import Grant
from tests.spec.access import CALLS, GRANTED, KEYS, OPEN, PAGES, ROLES, RUN, Call
from tests.store.web.conftest import CELL, ENTERPRISES, HOME, LINE, NOW, Reply, exchange, statements
from tests.store.web.pages.conftest import Pages, serve_pages
from tests.store.web.pages.test_console import held, rejected
from tests.store.web.pages.test_decisions import decided
from tests.store.web.pages.test_replies import ORDER
from tests.store.web.pages.test_routes import Caller, colleague, routes
from tests.store.web.pages.test_undelivered import disabled

LINES = itertools.count(1000)
NAMES = ("general", "local", "quiet")
OF_VISITS = {"user_sessions", "chain_links", "chain_heads", "api_keys"}
"""What changes by asking: who is there, the audit log, and when a key was last used."""
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/v1/decisions"): {"patient": {"id": "{patient_id}"}, "message_type": "automation", "channels": ["sms", "email"]},
    ("POST", "/v1/decisions/batch"): [{"patient": {"id": "{patient_id}"}, "message_type": "automation", "channels": ["sms", "email"]}],
    ("POST", "/v1/sms-replies"): {"line": LINE, "from": CELL, "body": "hello"},
    ("POST", "/v1/opt-outs"): {"channel": "email", "address": "{email}", "how": "unsubscribe"},
    ("POST", "/v1/opt-outs/links"): {"address": "{email}"},
    ("POST", "/v1/patients/{patient_id:str}/opt-ins"): {"channel": "email", "reason": "asked"},
    ("POST", "/v1/patients/lookup"): {"id": "{patient_id}"},
    ("POST", "/v1/patients/by-phone"): {"phone": CELL},
    ("PUT", "/v1/patients/{patient_id:str}/do-not-contact"): {"value": "yes", "reason": "asked"},
    ("PUT", "/v1/patients/{patient_id:str}/preferred-phone"): {"value": HOME},
    ("POST", "/v1/patients/{patient_id:str}/sms-consent"): {"line": LINE, "reason": "asked"},
    ("POST", "/v1/replies/{reply_id:str}/decide"): {"decision": "dismiss"},
    ("POST", "/v1/worklist/done"): {"patient": "{patient_id}", "source": "{source}", "attribute": "consent.sms"},
    ("POST", "/v1/worklist/undo"): {"patient": "{patient_id}", "source": "{source}", "attribute": "consent.sms"},
    ("PUT", "/v1/settings"): {"when_stale": "flag"},
    ("POST", "/v1/rejections/replay"): {"ids": ["{rejection_id}"]},
    ("POST", "/v1/rejections/replay/preview"): {"ids": ["{rejection_id}"]},
}
QUERY = {"/v1/patients/{patient_id:str}/as-of": f"?at={quote(NOW.isoformat())}", "/v1/audit": "?patient={patient_id}"}


class Things(NamedTuple):
    """The ids of an enterprise's data; ``email`` belongs only to its patient."""

    patient_id: str
    decision_id: str
    run_id: str
    rejection_id: str
    reply_id: str
    source: str
    email: str
    user_id: str
    key_id: str
    endpoint: str


def things(pages: Pages, enterprise: str) -> Things:
    """Creates one of each kind."""
    source, email = ENTERPRISES[enterprise].sources[0].name, f"only-{enterprise}@example.test"
    number = patient(pages, enterprise, source, email)
    return Things(
        number,
        decided(pages, enterprise, number),
        held(pages) if enterprise == "general" else running(pages, enterprise, source),
        rejected(pages, enterprise, source),
        waiting(pages, enterprise),
        source,
        email,
        colleague(pages, enterprise),
        pages.keys.create("a sender", enterprise, "sender", NOW)[0],
        disabled(pages, enterprise),
    )


def waiting(pages: Pages, enterprise: str) -> str:
    """An unclear reply on a separate line."""
    pages.store.record_reply(enterprise, f"+1217555{next(LINES)}", CELL, ORDER, NOW, NOW)
    return pages.store.replies.some(enterprise)[0].id


def running(pages: Pages, enterprise: str, source: str) -> str:
    """The active run: a source has one at a time."""
    found = pages.journal.runs(enterprise, source, 1)
    return found[0].id if found else pages.journal.start(source, enterprise, "resync", now=NOW).id


def patient(pages: Pages, enterprise: str, source: str, email: str) -> str:
    """A patient whose e-mail address only this enterprise has."""
    item = statements("MRN1", f"only {enterprise}", email=(email,), do_not_contact="no")
    with pages.store.database.write(enterprise) as transaction:
        pages.store.apply_many(transaction, enterprise, source, [item], now=NOW)
    return pages.patient(enterprise=enterprise).removeprefix("/patients/")


class Matrix:
    """The running service, with keys of every kind in every enterprise."""

    def __init__(self, pages: Pages) -> None:
        self.pages, self.connection = pages, HTTPConnection("127.0.0.1", int(pages.url.rpartition(":")[2]), timeout=20)
        self.tokens = {(kind, name): self._token(kind, name) for kind in KEYS for name in NAMES}
        self.requested = 0

    def _token(self, kind: str, enterprise: str) -> str:
        grants = [Grant.PATIENTS] if kind == GRANTED else []
        return self.pages.keys.create(kind, enterprise, kind.partition(" ")[0], NOW, grants=grants)[1]

    def call(self, method: str, path: str, which: Things, **headers: str) -> Reply:
        """Makes one call about this data."""
        names = which._asdict()
        body = filled(BODIES.get((method, path), {} if method != "GET" else None), names)
        where = re.sub(r"{(\w+)(:str)?}", lambda found: names[found[1]], path + QUERY.get(path, ""))
        self.requested += 1
        return exchange(self.connection, method, where, body, headers)

    def keyed(self, method: str, path: str, which: Things, kind: str, enterprise: str) -> Reply:
        return self.call(method, path, which, authorization=f"Bearer {self.tokens[kind, enterprise]}")

    def state(self) -> dict[str, Any]:
        """Everything stored, without traces of reads; and the requests to ``sync``."""
        database = self.pages.store.database
        names = sorted(set(Table.known.tables) - OF_VISITS)
        with database.read() as connection:
            kept = {name: sorted(map(repr, database.select(connection, f"SELECT * FROM {name}", []))) for name in names}
        return {**kept, "asked": list(self.pages.requested)}


def filled(body: Any, names: dict[str, str]) -> Any:
    """The body with the ids in place of the names in braces."""
    if isinstance(body, dict):
        return {name: filled(one, names) for name, one in body.items()}
    if isinstance(body, list):
        return [filled(one, names) for one in body]
    return body.format(**names) if isinstance(body, str) else body


@pytest.fixture
def matrix(database_url: str) -> Iterator[Matrix]:
    for pages in serve_pages(database_url):
        found = Matrix(pages)
        yield found
        found.connection.close()


def test_every_route_has_an_access_rule(matrix: Matrix) -> None:
    found = set(routes(matrix.pages))
    assert found == set(CALLS) | set(PAGES) | OPEN


def test_a_key_can_call_what_its_role_permits_in_its_own_enterprise(matrix: Matrix) -> None:
    wrong = []
    for enterprise in ("general", "local"):
        others = [things(matrix.pages, name) for name in NAMES if name != enterprise]
        for kind in KEYS:
            own, before = things(matrix.pages, enterprise), None
            refused = [one for one in CALLS if kind not in CALLS[one].keys]
            before = matrix.state()
            wrong += [(kind, *one) for one in refused if matrix.keyed(*one, own, kind, enterprise).status != 403]
            assert matrix.state() == before, kind
            for (method, path), call in CALLS.items():
                if kind in call.keys:
                    used = things(matrix.pages, enterprise) if method == "POST" and ("{run" in path or "{reply" in path) else own
                    reply = matrix.keyed(method, path, used, kind, enterprise)
                    wrong += [(kind, enterprise, method, path, reply.status)] * (reply.status != expected(call, kind, enterprise))
                    wrong += [(kind, enterprise, method, path, "tells of another")] * shows(reply, others)
    assert wrong == []
    assert matrix.requested == 2 * len(KEYS) * len(CALLS)


def expected(call: Call, kind: str, enterprise: str) -> int:
    return call.syncs if enterprise == "general" else call.but.get(kind, call.local)


def shows(reply: Reply, others: list[Things]) -> bool:
    """Whether the response contains data of another enterprise."""
    return any(name.encode() in reply.body for one in others for name in one)


def test_data_of_another_enterprise_is_not_found(matrix: Matrix) -> None:
    wrong = []
    for enterprise, other in (("general", "local"), ("local", "general"), ("local", "quiet")):
        foreign = things(matrix.pages, other)
        before = matrix.state()
        for kind in KEYS:
            for (method, path), call in CALLS.items():
                if call.foreign is not None:
                    reply = matrix.keyed(method, path, foreign, kind, enterprise)
                    wrong += [(kind, method, path, reply.status)] * (reply.status != (call.foreign if kind in call.keys else 403))
                    wrong += [(kind, method, path, "tells of it")] * shows(reply, [foreign])
        assert matrix.state() == before, other
    assert wrong == []
    assert matrix.requested == 3 * len(KEYS) * sum(call.foreign is not None for call in CALLS.values())


def test_a_decision_on_a_patient_of_another_enterprise_is_that_of_an_unknown_patient(matrix: Matrix) -> None:
    foreign, nobody = things(matrix.pages, "local"), things(matrix.pages, "general")._replace(patient_id="pt_00000000000000ff")
    answers = [matrix.keyed("POST", "/v1/decisions", one, "sender", "general").json for one in (foreign, nobody)]
    assert [(one["decision"], one["reasons"]) for one in answers] == [("do_not_send", ["patient_unknown"])] * 2
    assert answers[0].keys() == answers[1].keys()


def test_access_without_a_valid_key_is_denied(matrix: Matrix) -> None:
    own = things(matrix.pages, "general")
    number, revoked = matrix.pages.keys.create("revoked", "general", "enterprise", NOW)
    matrix.pages.keys.revoke(number, NOW)
    ended = matrix.pages.keys.create("ended", "general", "sender", NOW, expires=NOW - timedelta(seconds=1))[1]
    good = matrix.tokens["sender", "general"]
    session = Caller(matrix.pages, "enterprise", "general").signed_in().client.cookies["emr_sync_session"]
    before = matrix.state()
    tried: list[dict[str, str]] = [
        {},
        *({"authorization": f"Bearer {one}"} for one in (revoked, ended, good[:-1], "esk.key_0.x", session)),
        {"authorization": f"Basic {good}"},
        {"cookie": f"emr_sync_session={session}"},
        {"x-api-key": good, "cookie": f"authorization=Bearer {good}"},
    ]
    answers = [(*one, place, matrix.call(*one, own, **headers)) for one in CALLS for place, headers in enumerate(tried)]
    assert [(*one, place) for *one, place, reply in answers if reply.status != 401] == []
    assert {reply.headers["content-type"] for *_, reply in answers} == {"application/problem+json"}
    assert all(reply.headers["www-authenticate"].startswith("Bearer") for *_, reply in answers)
    assert matrix.state() == before


def test_api_keys_give_no_access_to_pages(matrix: Matrix) -> None:
    own = things(matrix.pages, "general")
    before, wrong = matrix.state(), []
    for kind in KEYS:
        for method, path in PAGES:
            reply = matrix.keyed(method, path, own, kind, "general")
            where = "/sign-in" if method == "GET" or path in ("/password", "/sign-out") else "/sign-in?again=unsaved"
            wrong += [(kind, method, path, reply.status)] * ((reply.status, reply.headers.get("location")) != (303, where))
    assert wrong == []
    assert matrix.state() == before


@pytest.mark.parametrize(("enterprise", "other"), [("general", "local"), ("local", "general")])
def test_a_session_has_the_pages_of_its_role_and_no_data_of_another_enterprise(matrix: Matrix, enterprise: str, other: str) -> None:
    """test_routes.py checks what permitted forms do."""
    wrong, foreign = [], things(matrix.pages, other)
    for role in ROLES:
        caller = Caller(matrix.pages, role, enterprise)
        own, before = dict(caller.ids), matrix.state()
        for (method, path), roles in PAGES.items():
            caller.ids = own
            wrong += [] if role in roles else unexpected(caller, method, path, {403})
            caller.ids = {f"{name}:str": value for name, value in foreign._asdict().items()}
            wrong += unexpected(caller, method, path, {404 if role in roles else 403}) if "{" in path else []
        assert matrix.state() == before, role
        caller.ids = own
        for (method, path), roles in PAGES.items():
            if method == "GET" and role in roles:
                wrong += unexpected(
                    caller, method, path, {303} if path == "/" else {404} if path == RUN and enterprise == "local" else {200}
                )
    assert wrong == []


def unexpected(caller: Caller, method: str, path: str, right: set[int]) -> list[tuple[str, str, str, int]]:
    """Describes a response that is not among the expected ones."""
    status = caller.call(method, path)
    return [] if status in right else [(caller.role, method, path, status)]
