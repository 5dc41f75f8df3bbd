"""Single decisions are those of the batch, and wait for nobody but the database."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from store import times
from store.preference import Identifier, PatientStatements, Phone, Problem, Statement
from store.web.app import create_app
from tests.store.web.conftest import EARLIER, LINE, NOW, Service, running
from tests.store.web.raw import ASK, asked, bearer, connected

PEOPLE = 60
ASKS = 3_000


def test_thousands_of_decisions_are_those_of_the_batch(fresh: Service) -> None:
    chance = random.Random(11)
    _populate(fresh, chance)
    asks = [_any_ask(chance, fresh) for _ in range(ASKS)]
    answers = fresh.call("POST", "/v1/decisions/batch", asks).json
    with ThreadPoolExecutor(8) as clients:
        parts = list(clients.map(lambda part: _one_by_one(fresh, part), [asks[place::8] for place in range(8)]))
    singles = [parts[place % 8][place // 8] for place in range(ASKS)]
    ids = {one.pop("id", "") for one in (*singles, *answers)}
    assert [place for place, (one, other) in enumerate(zip(singles, answers, strict=True)) if one != other] == []
    assert len(ids) > ASKS, "each decision has an id of its own"
    assert len({reason for answer in answers for reason in answer["reasons"]}) > 12
    assert {answer["channel"] for answer in answers} == {"sms", "voice", "email", None}


def _one_by_one(service: Service, asks: Sequence[Any]) -> list[Any]:
    key, found = bearer(service), []
    with connected(service) as raw:
        for one in asks:
            raw.send(asked(key, json.dumps(one).encode()))
            status, body = (answer := raw.answer())[9:12], json.loads(answer.partition(b"\r\n\r\n")[2])
            found.append(body if status == b"200" else _as_item(body))
    return found


def _as_item(refusal: Any) -> Any:
    """The batch's answer to an item that alone is refused."""
    nothing = {"channel": None, "address": None, "language": None, "skipped": [], "evidence": [], "as_of": None, "stale": False}
    return {"decision": "do_not_send", **nothing, "reasons": ["ask_invalid"], "patient_version": None, "detail": refusal["detail"]}


def _populate(service: Service, chance: random.Random) -> None:
    """Patients with every kind of statement, some shared numbers, ambiguous identifiers, opt-outs and an unreadable attribute."""
    for number in range(PEOPLE):
        kinds = chance.choices(["cell", "home", "work"], k=chance.randint(0, 3))
        phones = tuple(_phone(chance, rank, kind) for rank, kind in enumerate(kinds))
        stated: dict[str, Any] = {"phones": phones, "language": chance.choice(["en", "es"])}
        for name, values in STATED.items():
            if chance.random() < 0.3:
                stated[name] = chance.choice(values)
        problems = (Problem("code_unmapped", "", "PID", attribute="do_not_contact"),) if chance.random() < 0.1 else ()
        authority = chance.choice(["GENHOSP", "GENHOSP", "CLINIC"])
        item = PatientStatements(
            (Identifier(authority, "MR", f"R{number % 50}"),), {name: Statement(value, "PID") for name, value in stated.items()},
            times.at(EARLIER + timedelta(seconds=number)), f"E{number}", problems=problems,
        )  # fmt: skip
        with service.store.database.write("general") as transaction:
            service.store.apply_many(transaction, "general", "genhosp-adt", [item], now=NOW)
    for number in range(100, 115):
        reply = chance.choice(["STOP", "STOP ALL", "START", "please no more", "ok"])
        line = chance.choice([LINE, "+12175550191"])
        service.call("POST", "/v1/sms-replies", {"line": line, "from": f"+1217555{number:04d}", "body": reply})


def _phone(chance: random.Random, rank: int, kind: str) -> Phone:
    return Phone(f"+1217555{chance.randrange(100, 130):04d}", kind, rank=rank, textable=chance.random() < 0.8)


STATED: dict[str, tuple[Any, ...]] = {
    "do_not_contact": ("yes", "no"), "deceased": (True, False), "consent.sms": ("granted", "denied"), "consent.voice": ("denied",),
    "consent.email": ("denied", "granted"), "preferred_method": ("sms", "voice", "email", "mail", "none"),
    "email": (("pat@example.test",),),
    "topic.billing.sms": ("denied",), "topic.billing.voice": ("denied",), "topic.billing.email": ("denied",),
}  # fmt: skip


def _any_ask(chance: random.Random, service: Service) -> dict[str, Any]:
    patient: dict[str, str] = {"value": f"R{chance.randrange(52)}"} | ({"authority": "genhosp"} if chance.random() < 0.5 else {})
    found: dict[str, Any] = {"patient": patient, "message_type": chance.choice(["automation", "broadcast", "campaign", "manual"])}
    found["channels"] = chance.sample(["sms", "voice", "email"], chance.randint(0, 3))
    for name, values in OPTIONAL.items():
        if chance.random() < 0.4:
            found[name] = chance.choice(values)
    return found


OPTIONAL: dict[str, tuple[Any, ...]] = {
    "line": (LINE, LINE, "(217) 555-0190", "+12175550191", "12345", "--", "+1"), "topic": ("billing", "reminders", "Ünï", "x" * 201),
    "at": ("2026-12-01T10:00:00Z", "2020-01-01T00:00:00+02:00", "never"),
    "appointment": (
        {"preferred_method": "voice"}, {"preferred_method": "none"}, {"preferred_phone": "+12175550101"}, {"preferred_phone": "+1"},
    ),
}  # fmt: skip


def test_a_locked_table_delays_only_decisions(fresh: Service) -> None:
    """The event loop does not wait for the database. PostgreSQL can lock a table; SQLite's readers wait for nobody."""
    service, database = fresh, fresh.store.database
    assert service.call("POST", "/v1/decisions", ASK).status == 200
    with ThreadPoolExecutor(1) as sender, database.write("general") as transaction:
        if not database.is_sqlite:
            transaction.execute(text("LOCK TABLE patients IN ACCESS EXCLUSIVE MODE"))
        waiting = sender.submit(service.call, "POST", "/v1/decisions", ASK)
        if database.is_sqlite:
            assert waiting.result(20).status == 200
        assert service.call("GET", "/healthz", role=None).status == 200
        assert service.call("POST", "/v1/decisions", b"{").status == 400
        assert waiting.done() == database.is_sqlite
        transaction.rollback()
        assert waiting.result(20).status == 200


def test_a_decision_in_progress_is_answered_when_the_service_stops(fresh: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for, go_on, known = threading.Event(), threading.Event(), fresh.store.known

    def slow(*arguments: Any) -> Any:
        asked_for.set()
        assert go_on.wait(20)
        return known(*arguments)

    monkeypatch.setattr(fresh.store, "known", slow)
    server = running(create_app(fresh.store, fresh.journal, fresh.keys))
    port = server.__enter__()
    service = Service(port, fresh.store, fresh.journal, fresh.keys, fresh.tokens, [], fresh.lanes)
    service.token("general", "sender")
    with ThreadPoolExecutor(2) as others:
        waiting = others.submit(service.call, "POST", "/v1/decisions", ASK)
        assert asked_for.wait(20)
        stopped = others.submit(server.__exit__)
        assert not waiting.done()
        go_on.set()
        assert (waiting.result(20).status, waiting.result().json["decision"]) == (200, "send")
        stopped.result(20)
    assert not server.thread.is_alive()


END_OTHERS = """SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid()"""


def test_a_lost_connection_fails_one_decision_at_most(fresh: Service) -> None:
    database = fresh.store.database
    assert fresh.call("POST", "/v1/decisions", ASK).status == 200
    with database.read() as connection:  # SQLite has no connections that somebody could end
        if not database.is_sqlite:
            database.select(connection, END_OTHERS, [])
    statuses = [fresh.call("POST", "/v1/decisions", ASK).status for _ in range(3)]
    assert statuses in ([503, 200, 200], [200, 200, 200])


def test_a_decision_that_runs_out_of_memory_is_counted_and_others_go_on(fresh: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[None] = []

    def fail(*_: Any) -> Any:
        raise MemoryError

    with running(create_app(fresh.store, fresh.journal, fresh.keys, out_of_memory=lambda: counted.append(None))) as port:
        service = Service(port, fresh.store, fresh.journal, fresh.keys, fresh.tokens, [], fresh.lanes)
        with monkeypatch.context() as patch:
            patch.setattr(fresh.store, "known", fail)
            assert (service.call("POST", "/v1/decisions", ASK).json["code"], len(counted)) == ("internal_error", 1)
        assert service.call("POST", "/v1/decisions", ASK).status == 200
