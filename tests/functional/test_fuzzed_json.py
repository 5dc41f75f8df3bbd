"""Fuzzes every call with a body over real HTTP: each is answered, never with an internal error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from adapters.hl7v2.client import MllpClient
from tests.adapters.hl7v2.messages import adt
from tests.functional.fuzzing import KINDS, PATIENCE, SEED, Target, corrupted, drawn, header, inputs, target

NDJSON = "application/x-ndjson"
ASK: Any = {
    "patient": {"authority": "GENHOSP", "type": "MR", "value": "MRN1"},
    "message_type": "automation",
    "channels": ["sms", "voice"],
    "line": "+12175550190",
    "topic": "recall",
    "appointment": {"preferred_method": "sms", "preferred_phone": "+12175550101"},
    "at": "2026-11-02T10:00:00Z",
}
BODIES: dict[str, Any] = {
    "/v1/decisions": ASK,
    "/v1/decisions/batch": [ASK, ASK],
    "/v1/sms-replies": {"line": "+12175550190", "from": "+12175550101", "body": "Stop", "received_at": "2026-11-02T10:00:00Z"},
    "/v1/patients/lookup": ASK["patient"],
    "/v1/patients/by-phone": {"phone": "+12175550101"},
    "/v1/patients/{patient_id}/do-not-contact": {"value": "yes", "reason": "asked"},
    "/v1/patients/{patient_id}/preferred-phone": {"value": "+12175550101"},
    "/v1/patients/{patient_id}/sms-consent": {"line": "+12175550190", "all_lines": False, "topic": "recall", "reason": "asked"},
    "/v1/replies/{reply_id}/decide": {"decision": "dismiss", "reason": "read"},
    "/v1/patients/{patient_id}/opt-ins": {"channel": "email", "reason": "asked"},
    "/v1/opt-outs": {"channel": "sms", "address": "+12175550101", "how": "key_press", "line": "+12175550190", "at": "2026-11-02T10:00:00Z"},
    "/v1/opt-outs/links": {"address": "pat@example.org", "topic": "recall"},
    "/v1/worklist/done": {"patient": "pt_1", "source": "genhosp-adt", "attribute": "consent.sms"},
    "/v1/worklist/undo": {"patient": "pt_1", "source": "genhosp-adt", "attribute": "consent.sms"},
    "/v1/settings": {"when_stale": "flag", "do_not_contact_toggle": False},
    "/v1/rejections/replay": {"ids": ["rej_0000000000000001"]},
    "/v1/rejections/replay/preview": {"source": "genhosp-adt", "reason": "code_unmapped"},
}
"""A good body of every call that takes one: the document of the API says whether one is missing."""
OPEN = {"/v1/inbound/{provider}", "/v1/push/{source}", "/unsubscribe/{token}"}
"""Without a key, and in the formats of messaging providers, EMRs and mailboxes: these have tests of their own."""
ODD: tuple[bytes, ...] = (
    b"null", b"true", b"-0", b"0.1", b"1e999", b"-1e-999", b"9" * 5_000, b"9223372036854775808", b"NaN", b"Infinity", b'""', b"[]", b"{}",
    rb'"\u0000"', rb'"\ud800"', rb'"\udc00\ud800"', b'"\xff\xfe"', b'"\xed\xa0\x80"', b'"\xf0\x9f\x92\xa9"', b'"' + b"x" * 20_000 + b'"',
    b"[" * 3_000 + b"]" * 3_000, b'{"a":' * 3_000 + b"1" + b"}" * 3_000, b"[" * 50_000, b"[" + b"0," * 20_000 + b"0]",
    b'{"value":"a","value":"b"}', b'{"\\u0000":1}', b'"0001-01-01T00:00:00+14:00"', b'"9999-12-31T23:59:59-14:00"', 
    b'"2026-11-02T10:00:00"',
    b'"+1217555010\\n"', b'"STOP"', b'"stop \\ud83d"', b'"\\u202eSTOP\\u202c"',
)  # fmt: skip
TOKENS = (*ODD, b",", b":", b"{", b"}", b"[", b"]", b'"', b"\\", b"\\u", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\n", b"//", b"'")


class Call(NamedTuple):
    method: str
    path: str


class Wire:
    """A connection that is reused for every request."""

    def __init__(self, program: Target) -> None:
        self.program, self.patient = program, ""
        self.connection = HTTPConnection("127.0.0.1", program.api, timeout=PATIENCE)

    def send(self, call: Call, body: bytes | None, kind: str, media: str = "application/json") -> tuple[int, bytes]:
        path = call.path.replace("{patient_id}", self.patient).replace("{reply_id}", "rep_0000000000000001")
        headers = {"authorization": f"Bearer {self.program.keys[kind]}", "content-type": media}
        try:
            return self._exchanged(call.method, path, body, headers)
        except (BrokenPipeError, ConnectionResetError):  # idle for too long, or the body is over the limit
            self.connection.close()
            self.program.note("sent again")
            return self._exchanged(call.method, path, body, headers)

    def _exchanged(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        with suppress(BrokenPipeError):  # a body over the limit is answered before its end
            self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        answer = response.status, response.read()
        if response.will_close:
            self.connection.close()
        return answer


@pytest.fixture
def program(tmp_path: Path, database_url: str) -> Iterator[Target]:
    with target(tmp_path, database_url) as found:
        yield found


@pytest.mark.timeout(3_000)
def test_every_body_is_answered_and_the_program_keeps_running(program: Target) -> None:
    wire = Wire(program)
    wire.patient, calls = patient(wire), taking_a_body(wire)
    assert {call.path for call in calls} == set(BODIES) | OPEN
    calls = [call for call in calls if call.path not in OPEN]
    for number, draw in inputs():
        call = draw.choice(calls)
        media = NDJSON if call.path.endswith("/batch") and draw.random() < 0.5 else "application/json"
        body = odd(draw, BODIES[call.path], media)
        kind = draw.choice(tuple(KINDS)) if draw.random() < 0.2 else permitted_key(call)
        status, answer = wire.send(call, body, kind, media)
        program.note("bodies", f"{kind} {status // 100}xx", f"status {status}")
        where = f"EMR_SYNC_FUZZ_SEED={SEED}, input {number}: {call.method} {call.path} by {kind}"
        assert status < 500, f"{where}: {status}"
        assert status < 400 or json.loads(answer)["status"] == status, where
        if status == 200 and media == NDJSON:
            assert len(answer.splitlines()) == sum(bool(line.strip()) for line in body.split(b"\n")), where
        if number % 1_000 == 999:
            program.check_health(number)
    wire.connection.close()
    program.check_health(0)
    program.print_counts("bodies")


def permitted_key(call: Call) -> str:
    """A kind of key that may make the call."""
    if call.path in ("/v1/decisions", "/v1/decisions/batch", "/v1/sms-replies", "/v1/opt-outs", "/v1/opt-outs/links"):
        return "sender"
    return "operator" if call.path.startswith("/v1/rejections") else "enterprise"


def patient(wire: Wire) -> str:
    """The id of a patient received over the feed."""
    with MllpClient("127.0.0.1", wire.program.mllp, PATIENCE) as connection:
        connection.send(adt("A08", "ZCP|1|OK", f3="MRN1^^^GENHOSP^MR", f13="(217)555-0101^PRN^CP", header=header("C1")))
    status, answer = wire.send(Call("POST", "/v1/patients/lookup"), b'{"value":"MRN1"}', "staff")
    assert status == 200
    return str(json.loads(answer)["id"])


def taking_a_body(wire: Wire) -> list[Call]:
    """The calls of the OpenAPI document with a request body."""
    _, document = wire.send(Call("GET", "/schema"), None, "sender")
    paths = json.loads(document)["paths"]
    return [Call(method.upper(), path) for path, methods in paths.items() for method, one in methods.items() if "requestBody" in one]


def odd(draw: Random, good: Any, media: str) -> bytes:
    """A mutated body."""
    kind = draw.randrange(8)
    if media == NDJSON:
        lines = [
            draw.choice((written(ASK), replaced(draw, ASK), corrupted(draw, written(ASK), TOKENS))) for _ in range(draw.choice((1, 3, 40)))
        ]
        return draw.choice((b"\n", b"\r\n", b"\n\n")).join(lines)
    if kind == 0:
        return draw.randbytes(draw.choice((0, 1, 5, 200, 5_000)))
    if kind == 1:
        return draw.choice(ODD)
    if kind == 2:
        return json.dumps(good).encode(draw.choice(("utf-16", "utf-8-sig", "utf-32-le")))
    if kind == 3:
        times = draw.choice((1, 3, 300, 12_000))
        return b"[" + b",".join([draw.choice((written(ASK), *ODD[:6]))] * times) + b"]"
    if kind == 4:
        return corrupted(draw, written(good), TOKENS)
    return replaced(draw, good)


def written(value: Any) -> bytes:
    return json.dumps(value).encode()


def replaced(draw: Random, value: Any) -> bytes:
    """The value with one mutated place, an extra member, or a missing one."""
    if isinstance(value, list):
        at = draw.randrange(len(value))
        return b"[" + b",".join(replaced(draw, one) if place == at else written(one) for place, one in enumerate(value)) + b"]"
    if not isinstance(value, dict) or draw.random() < 0.1:
        return draw.choice(ODD)
    names = list(value)
    name = draw.choice(names)
    members = {one: written(value[one]) for one in names}
    members[name] = replaced(draw, value[name]) if isinstance(value[name], dict | list) else draw.choice(ODD)
    pairs = [written(one) + b":" + member for one, member in members.items()]
    change = draw.randrange(6)
    if change == 0:
        pairs.pop(draw.randrange(len(pairs)))
    elif change == 1:
        pairs.append(draw.choice((b'"x"', rb'"\ud800"', b'"__class__"', b'""', written(name))) + b":" + draw.choice(ODD))
    return b"{" + b",".join(pairs) + b"}"


def test_an_input_is_reproducible() -> None:
    assert len({odd(drawn(7, 3), ASK, NDJSON) for _ in range(2)}) == 1
    assert len({odd(drawn(7, number), ASK, "application/json") for number in range(200)}) > 100
