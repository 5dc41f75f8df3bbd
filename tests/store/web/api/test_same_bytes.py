"""A batch answers byte for byte what single requests are answered, as an array and as NDJSON; and so does an ask that is refused."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import pytest
from sqlalchemy import text

from adapters.mapping.telecom import e164
from store import times
from store.db.database import Database
from store.domain.enterprise import Enterprise, Source
from store.domain.lock import Actor, Role
from store.domain.patient import PatientRef
from store.domain.policies import Policy
from store.errors import ValueRefused
from store.patients.preferences import Preferences
from store.preference import Identifier, Later, PatientMerge, PatientStatements, Phone, Problem, Statement
from store.runs.runs import Journal
from store.users.api_keys import ApiKey, ApiKeys
from store.web.api.batch_limits import MOST_IN_ARRAY
from store.web.api.decisions import Decisions, invalid
from store.web.api.endpoint import encode
from store.web.http.auth import Callers
from store.web.http.lanes import Lanes
from store.web.http.problem import ProblemDetails
from tests.factories import sealing
from tests.spec.tables import TABLES

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
LINE, OTHER_LINE, CODE = "+12175550190", "+12175550191", "12345"
PEOPLE, ASKS = 60, 1_500
STRICT = Policy(when_stale="refuse")
OPEN = Policy(
    when_unreadable="flag", when_preferred_impossible="next", appointment_may_lift_dnc=True, revocation_scope="line", decision_receipts=True
)
SOURCES = (Source("adt", "ADT"), Source("quiet", "Quiet", timedelta(hours=1)))
ENTERPRISES = {one.name: one for one in (Enterprise("strict", "", True, sources=SOURCES, default_region="US", policy=STRICT),
                                         Enterprise("open", "", True, sources=SOURCES, default_region="US", policy=OPEN))}  # fmt: skip
IDS = re.compile(rb'"id":"dec_[0-9a-f]{27}"')


class Clinic(NamedTuple):
    """The decisions of a store full of patients of every kind. ``ids``: the store's own ids of some, also of merged ones."""

    decisions: Decisions
    key: ApiKey
    secret: str
    ids: tuple[str, ...]


@pytest.fixture(params=sorted(ENTERPRISES))
def clinic(request: pytest.FixtureRequest, database: Database) -> Iterator[Clinic]:
    store, keys, lanes = Preferences(database, ENTERPRISES, read_number=e164, sealing=sealing()), ApiKeys(database), Lanes.create()
    ids = _populate(store, request.param, random.Random(5))
    _, secret = keys.create("sender", request.param, "sender", NOW)
    key = keys.verify(secret, NOW)
    assert key is not None
    decisions = Decisions(store, Callers(keys, ENTERPRISES, lanes, lambda: NOW), lambda: NOW, lanes)
    yield Clinic(decisions, key, secret, ids)
    decisions.batcher.close()


def test_batches_answer_what_single_requests_are_answered(clinic: Clinic) -> None:
    bodies = list(_bodies(clinic, random.Random(7)))
    answers = asyncio.run(_one_by_one(clinic, bodies))
    assert asyncio.run(_as_lines(clinic, bodies)) == answers
    for chosen in ([_is_json(body) for body in bodies], [b'"ask_invalid"' not in answer for answer in answers]):
        asked = [body for body, is_chosen in zip(bodies, chosen, strict=True) if is_chosen]
        assert len(asked) in range(ASKS // 2, MOST_IN_ARRAY)
        answered = b",".join(answer for answer, is_chosen in zip(answers, chosen, strict=True) if is_chosen)
        assert _without_ids(clinic.decisions.answer_array(clinic.key, b"[" + b",".join(asked) + b"]")) == b"[" + answered + b"]"
    _check_variety([msgspec.json.decode(answer) for answer in answers])


def _check_variety(answers: Sequence[Any]) -> None:
    """The asks were of every kind, or the comparison would show little."""
    assert {answer["channel"] for answer in answers} == {"sms", "voice", "email", None}
    assert len({reason for answer in answers for reason in answer["reasons"]}) >= 14
    assert {answer["as_of"] for answer in answers} > {None}
    assert {one["path"] for answer in answers for one in answer["evidence"]} >= {"PID", "sms_opt_out", "period"}
    assert len({answer["detail"] for answer in answers if "detail" in answer}) >= 10


async def _one_by_one(clinic: Clinic, bodies: Sequence[bytes]) -> list[bytes]:
    return [_without_ids(answer) for answer in await asyncio.gather(*(_single(clinic, body) for body in bodies))]


async def _single(clinic: Clinic, body: bytes) -> bytes:
    """The answer to one request; for a refused one what the batch answers for its item."""
    try:
        return await clinic.decisions.answer([(b"authorization", f"Bearer {clinic.secret}".encode())], _receiving(body))
    except ProblemDetails as problem:
        return encode(invalid(problem.detail if problem.status == 422 else "the item is not valid JSON in UTF-8"))
    except ValueRefused as refusal:
        return encode(invalid(str(refusal)))


async def _as_lines(clinic: Clinic, bodies: Sequence[bytes]) -> list[bytes]:
    answered = b"".join([part async for part in clinic.decisions.stream(clinic.key, _receiving(b"\n".join(bodies) + b"\n"))])
    return [_without_ids(line) for line in answered.splitlines()]


def _receiving(body: bytes) -> Any:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _without_ids(answer: bytes) -> bytes:
    """The answer without the ids of decisions, each of which is new."""
    return IDS.sub(b'"id":""', answer)


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def _populate(store: Preferences, enterprise: str, chance: random.Random) -> tuple[str, ...]:
    """Patients with every kind of statement; merged, ambiguous, opted out, with periods; and some stored under another configuration."""
    _say(store, enterprise, [_patient(chance, number) for number in range(PEOPLE)])
    for number in range(100, 118):
        reply = chance.choice(["STOP", "STOP", "STOP ALL", "START", "please no more"])
        store.record_reply(enterprise, chance.choice([LINE, OTHER_LINE]), f"+1217555{number:04d}", reply, None, NOW)
    ids = [store.find(enterprise, PatientRef(value=f"R{number}")).id for number in range(10, 50, 5)]
    for patient in ids[:4]:
        store.record_sms_opt_out(enterprise, patient, line=None, topic="billing", actor=Actor("staff", Role.MANAGER), now=NOW)
    _say(store, enterprise, [_patient(chance, number) for number in range(0, 30, 3)], later=1)  # the numbers that opted out are gone
    _say(store, enterprise, [_merge(number) for number in (10, 15, 20)], later=2)
    with store.database.write(enterprise) as transaction:
        transaction.execute(text("UPDATE patients SET basis = 'sync:gone' WHERE id % 7 = 0"))
        Journal(store.database, None).mark_received(transaction, "adt", enterprise, now=NOW)
        if ENTERPRISES[enterprise].policy is OPEN:
            Journal(store.database, None).mark_received(transaction, "quiet", enterprise, now=NOW - timedelta(hours=2))
    return tuple(ids)


def _say(store: Preferences, enterprise: str, items: Sequence[Any], later: int = 0) -> None:
    for place, item in enumerate(items):
        source = "quiet" if place % 9 == 8 else "adt"
        with store.database.write(enterprise) as transaction:
            store.apply_many(transaction, enterprise, source, [item], now=NOW - timedelta(hours=3 - later))


def _patient(chance: random.Random, number: int) -> PatientStatements:
    kinds = chance.choices(["cell", "home", "work"], k=chance.randint(0, 3))
    stated: dict[str, Any] = {"phones": tuple(_phone(chance, rank, kind) for rank, kind in enumerate(kinds)), "language": "es"}
    stated |= {name: chance.choice(values) for name, values in STATED.items() if chance.random() < 0.25}
    later = tuple(one for one in LATER if chance.random() < 0.2)
    problems = (Problem("code_unmapped", "", "PID", attribute="do_not_contact"),) if chance.random() < 0.1 else ()
    return PatientStatements(
        (Identifier("CLINIC" if number >= 50 else "GENHOSP", "MR", f"R{number % 50}"),),
        {name: Statement(value, "PID") for name, value in stated.items()},
        times.at(NOW - timedelta(days=1) + timedelta(seconds=chance.randrange(9_000))), f"E{number}", problems=problems, later=later,
    )  # fmt: skip


def _merge(number: int) -> PatientMerge:
    survivor, merged = ((Identifier("GENHOSP", "MR", f"R{one}"),) for one in (number, number + 1))
    return PatientMerge(survivor, merged, times.at(NOW - timedelta(hours=1)), f"A40-{number}")


def _phone(chance: random.Random, rank: int, kind: str) -> Phone:
    end = chance.choice([None, None, None, "2026-11", "2026-11-29"])
    return Phone(f"+1217555{chance.randrange(100, 130):04d}", kind, rank=rank, textable=chance.random() < 0.8, end=end)


STATED: dict[str, tuple[Any, ...]] = {
    "do_not_contact": ("yes", "no"), "deceased": (True, False), "consent.sms": ("granted", "denied"), "consent.voice": ("denied",),
    "consent.email": ("denied", "granted"), "preferred_method": ("sms", "voice", "email", "mail", "none"),
    "preferred_phone": ("+12175550101", "+12175550102"), "consent.sms#+12175550103": ("denied",),
    "consent.voice#+12175550104": ("denied",), "email": (("pat@example.test",), ("Älla@example.test", "b@example.test")),
    "topic.billing.sms": ("denied",), "topic.billing.voice": ("denied",), "topic.billing.email": ("denied",),
}  # fmt: skip
LATER = (
    Later("consent.sms", NOW + timedelta(days=1), "denied", "period"), Later("do_not_contact", NOW - timedelta(hours=2), "yes", "period"),
    Later("deceased", NOW + timedelta(days=30), True, "period"), Later("consent.voice", NOW + timedelta(days=2), "granted", "period"),
)  # fmt: skip


def _bodies(clinic: Clinic, chance: random.Random) -> Iterator[bytes]:
    """The requests of the spec tables about some patients, random ones, and broken ones between them."""
    for case in (case for table in TABLES for case in table.cases):
        for _ in range(3):
            yield msgspec.json.encode({**msgspec.to_builtins(case.ask), "patient": _named(clinic, chance)})
    for _ in range(ASKS):
        yield from [chance.choice(BROKEN)] if chance.random() < 0.05 else ()
        yield _ask(clinic, chance)


def _ask(clinic: Clinic, chance: random.Random) -> bytes:
    asked: dict[str, Any] = {"message_type": chance.choice(["automation", "automation", "broadcast", "campaign", "manual"])}
    asked["channels"] = chance.sample(["sms", "voice", "email"], chance.randint(0, 3))
    asked |= {name: chance.choice(values) for name, values in OPTIONAL.items() if chance.random() < 0.3}
    asked |= {name: chance.choice(values) for name, values in WRONG.items() if chance.random() < 0.02}
    named = _named(clinic, chance)
    whole = {**named, **asked} if chance.random() < 0.1 else {"patient": named, **asked}
    return json.dumps(whole, ensure_ascii=chance.random() < 0.5).encode()


def _named(clinic: Clinic, chance: random.Random) -> dict[str, str]:
    by: list[Callable[[], dict[str, str]]] = [
        lambda: {"value": f"R{chance.randrange(52)}"},
        lambda: {"value": f"R{chance.randrange(52)}", "authority": chance.choice(["genhosp", "CLINIC", "nobody"])},
        lambda: {"value": f"R{chance.randrange(52)}", "authority": "GENHOSP", "type": chance.choice(["MR", "mr", "PI"])},
        lambda: {"id": chance.choice([*clinic.ids, "pt_0123456789abcdef", "pt_x"])},
    ]
    return chance.choice(by)()


OPTIONAL: dict[str, tuple[Any, ...]] = {
    "line": (LINE, LINE, "(217) 555-0190", OTHER_LINE, CODE, "+1", "+12175550190 "), "topic": ("billing", "reminders", "Ünï"),
    "category": ("marketing", "informational"),
    "at": ("2026-12-01T10:00:00Z", "2026-12-01T12:00:00Z", "2026-12-15T00:00:00+02:00", "2027-01-01T00:00:00Z", "2020-01-01T00:00:00Z"),
    "appointment": (
        {"preferred_method": "voice"}, {"preferred_method": "none"}, {"preferred_phone": "+12175550101"},
        {"preferred_phone": "+12175550177", "preferred_method": "sms"}, {"preferred_phone": "+1217555010"}, {},
    ),
}  # fmt: skip
WRONG: dict[str, tuple[Any, ...]] = {
    "message_type": ("letter", 1, None), "channels": ("sms", ["fax"], ["sms"] * 11, None), "line": ("--", 5, ""),
    "topic": ("", "x" * 201, 7), "category": ("other",), "at": ("never", "2026-12-01T10:00:00", 0), "more": (1,), "id": ("pt_1",),
    "appointment": ([], {"preferred_phone": "+1"}, {"x": 1}),
    "patient": ({}, None, {"id": ""}, {"value": "R1", "mrn": "R1"}, {"value": "a\0b"}),
}  # fmt: skip
BROKEN = (
    b"{", b"{}", b"[]", b"null", b"1", b'"R1"', b"nonsense", b'{"patient":{"value":"R1"}', b'{"patient":{"value":"\xff"}}', b"[" * 40,
    b'{"patient":{"value":"R1"},"message_type":"manual","channels":["sms"],"topic":"\\u0000"}',
    b'{"patient":{"value":"R1"},"message_type":"manual","channels":["sms"],"channels":["voice"]}',
    b'{"patient":{"value":"\\ud800"},"message_type":"manual","channels":["sms"]}',
)  # fmt: skip
